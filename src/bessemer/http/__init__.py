"""The HTTP door: parse, one call, render."""

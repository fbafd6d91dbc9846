"""The release format: a sealed, signed folder."""

"""Base models: named, resolved, checked and loaded."""

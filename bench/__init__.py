"""Measurements of what the project claims; `python -m bench` lists them."""

"""File formats of labelled items: one file each."""

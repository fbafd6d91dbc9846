"""A report as one HTML document, and as sections for another page."""

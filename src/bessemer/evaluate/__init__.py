"""From answers to a report."""

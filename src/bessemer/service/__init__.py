"""The conductor: the only place that joins things."""

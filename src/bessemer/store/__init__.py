"""Where it lies: records, stage outputs, the journal."""

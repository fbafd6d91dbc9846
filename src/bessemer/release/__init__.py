"""From weights to a gated, signed bundle."""

"""Keys: who may call."""

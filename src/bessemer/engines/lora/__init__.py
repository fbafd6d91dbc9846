"""LoRA adapters of many tasks side by side, each row of a batch with its own."""

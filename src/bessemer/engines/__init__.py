"""How a model computes an answer: one file per engine."""

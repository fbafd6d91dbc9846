"""How weights are learnt: one file per method."""

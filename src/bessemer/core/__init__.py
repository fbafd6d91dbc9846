"""Records, errors, catalogue, digests, clock: the standard library and pydantic only."""

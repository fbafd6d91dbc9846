"""The base of all nouns: frozen, and closed to unknown fields."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen record; an unknown field is an error, and JSON is its stored form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

"""What every block of the project file is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, lt=1)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Block(BaseModel):
    """A block of the project file: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

"""The contract of an executor: where work that outlives a request runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bessemer.core.catalogue import Catalogue

State = Literal["running", "succeeded", "failed"]


class Executor(ABC):
    """Starts Python modules in processes of their own and knows what became of them."""

    @abstractmethod
    def __init__(self, logs: Path) -> None:
        """Keep what jobs print in the folder `logs`."""

    @abstractmethod
    def submit(self, job: str, arguments: Sequence[str]) -> None:
        """Start `python -m <arguments>` under the name `job`."""

    @abstractmethod
    def status(self, job: str) -> State:
        """Return what became of a job.

        Raises:
            UnknownNameError: No job of that name was submitted here.
        """

    @abstractmethod
    def cancel(self, job: str) -> None:
        """End a job and everything it started; ending an ended job does nothing."""

    @abstractmethod
    def output(self, job: str) -> str:
        """Return what the job has printed so far."""


EXECUTORS: Catalogue[Executor] = Catalogue("executor", "bessemer.compute", Executor)  # type: ignore[type-abstract]

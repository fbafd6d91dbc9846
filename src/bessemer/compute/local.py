"""A process of its own on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bessemer.compute.base import Executor, State
from bessemer.core.errors import UnknownNameError


class LocalExecutor(Executor):
    """Each job is the leader of its own process group, so that `cancel` reaches its children."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._jobs: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, job: str, arguments: Sequence[str]) -> None:
        """Start `python -m <arguments>`; see `Executor.submit`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{job}.log").open("wb") as log:
            self._jobs[job] = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def status(self, job: str) -> State:
        """Return what became of a job; see `Executor.status`."""
        code = self._job(job).poll()
        return "running" if code is None else "failed" if code else "succeeded"

    def cancel(self, job: str) -> None:
        """End a job's process group; see `Executor.cancel`."""
        process = self._job(job)
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        process.wait()

    def output(self, job: str) -> str:
        """Return what the job has printed so far."""
        self._job(job)
        return (self._logs / f"{job}.log").read_text(encoding="utf-8", errors="replace")

    def _job(self, job: str) -> subprocess.Popen[bytes]:
        if job not in self._jobs:
            raise UnknownNameError("job", job, self._jobs)
        return self._jobs[job]

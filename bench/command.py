"""The command line run in a process of its own, with its time and its memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Ran:
    """What a finished process printed, its wall seconds, and its tree's largest memory in bytes."""

    output: str
    seconds: float
    peak: int


def bessemer(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bessemer.cli.main", *arguments]


def ran(command: list[str], home: Path) -> Ran:
    """Run a command to its end; it must succeed."""
    environment = {**os.environ, "BESSEMER_HOME": str(home)}
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    peaks = [0]
    watcher = threading.Thread(target=_watch, args=(process.pid, peaks))
    watcher.start()
    output, told = process.communicate()
    seconds = time.monotonic() - began
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{told}")
    return Ran(output, seconds, max(peaks))


def _watch(pid: int, peaks: list[int]) -> None:
    """Sum the resident memory of a process and its children again and again.

    Pages that two of them share count twice, so this is an upper bound.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            total = 0
            for process in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += process.memory_info().rss
            peaks[0] = max(peaks[0], total)
            time.sleep(SAMPLE_SECONDS)


def peak_bytes() -> int:
    """Return this process's largest resident memory so far."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0

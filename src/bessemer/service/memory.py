"""Load a model in a process of its own, let it answer, and print the memory it took at most.

    python -m bessemer.service.memory <engine> <its folder> <folder of the head> <texts.npz> pooled

Or `words` in the place of `pooled`, where the head reads every token. Prints bytes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bessemer.core.errors import ContractError
from bessemer.core.report import Measurement
from bessemer.engines.base import ENGINES
from bessemer.measures.intervals import exact
from bessemer.serve.residents import attached
from bessemer.tasks.base import Features

#: Texts that are answered, in batches as they are served: the longest take the most memory.
ASKED = 64


def peak_memory(
    engine: str, files: Path, head: Path, features: Sequence[Features], *, pooled: bool
) -> Measurement:
    """Return the megabytes that a fresh process has at most while it serves a model.

    Args:
        engine: The engine's name in the catalogue.
        files: Folder with what the engine reads.
        head: Folder with the head and, if there is one, the adapter.
        features: Of texts to be answered.
        pooled: Whether the head reads one vector a text.

    Raises:
        ContractError: The process failed.
    """
    longest = sorted(features, key=len)[-ASKED:]
    with tempfile.TemporaryDirectory() as place:
        texts = Path(place) / "texts.npz"
        np.savez(texts, *longest)
        places = [str(files), str(head), str(texts)]
        command = [sys.executable, "-m", __name__, engine, *places, "pooled" if pooled else "words"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ContractError(f"The model failed in a fresh process: {done.stderr.strip()[-500:]}")
    return exact("memory_mb", int(done.stdout) / 1e6)


def main(engine: str, files: str, head: str, texts: str, reads: str) -> None:
    """Answer the texts and print the memory."""
    loaded = ENGINES.load(engine)(Path(files))
    model = attached(loaded, Path(head), pooled=reads == "pooled")
    with np.load(texts, allow_pickle=False) as file:
        rows = [file[name] for name in file.files]
    model.run(rows)
    print(_peak())


def _peak() -> int:
    """Return the bytes of memory that this process had at most."""
    status = Path("/proc/self/status")
    if status.exists():
        # What the system counts for a process takes in the one that it was forked from.
        lines = status.read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Near duplicates as text-dedup finds them by MinHash, with two processes.

run.py <texts.csv> <told.json> <clusters.npy> <words of a shingle> <bands> <hashes of a band>
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np
from text_dedup import minhash

PROCESSES = 2


class Steps(minhash.Timer):
    """Keeps how long each step took."""

    known: ClassVar[dict[str, float]] = {}

    def report(self, logger: object, pad: int) -> None:
        """Note the seconds by step, instead of printing them."""
        self.known.update(self.elapsed_times)


def main(texts: Path, told: Path, clusters: Path, words: int, bands: int, hashes: int) -> None:
    """Find near duplicates; write seconds, and the number of each text's cluster."""
    with texts.open("rb") as file:
        count = sum(1 for _ in file) - 1
    with tempfile.TemporaryDirectory(dir=clusters.parent) as home:
        began = time.monotonic()
        # What the command line's entry point does; the default of min_length leaves out all texts
        # of fewer than five words, xxh3 is faster than the default of sha1.
        options = {
            "path": "csv",
            "data_files": texts,
            "split": "train",
            "cache_dir": f"{home}/cache",
            "output": f"{home}/out",
            "column": "text",
            "ngram": words,
            "min_length": 1,
            "num_perm": bands * hashes,
            "b": bands,
            "r": hashes,
            "hash_func": "xxh3",
            "hash_bits": 32,
            "num_proc": PROCESSES,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        minhash.Timer = Steps
        minhash.main(arguments, standalone_mode=False)
        seconds = time.monotonic() - began
    found = -1 - np.arange(count)
    for text in list(minhash.uf.parent):
        found[text] = minhash.uf.find(text)
    np.save(clusters, found)
    peaks = [resource.getrusage(who).ru_maxrss * 1024 for who in (-1, 0)]
    result = {
        "name": "text-dedup",
        "versions": {name: version(name) for name in ("text-dedup", "datasets", "numpy")},
        "settings": {"words": words, "bands": bands, "hashes": hashes},
        "seconds": seconds,
        "seconds_by_step": Steps.known,
        "peak_bytes": max(peaks),
    }
    told.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:]))

"""Near duplicates as datatrove finds them by MinHash, all four steps, with two processes.

run.py <texts.csv> <told.json> <clusters.npy> <words of a shingle> <buckets> <hashes of a bucket>

The clock stands still while the table is cut in two, one file a process, and while clusters are
read back. Words are what stands between blanks: datatrove's own way, spaCy, takes longer.
"""

from __future__ import annotations

import csv
import json
import resource
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import CSVReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.word_tokenizers import WordTokenizer

PROCESSES = 2
#: The default of 5 reads signatures in pieces of a few bytes.
BUFFERED = 10_000


class Blanks(WordTokenizer):
    """Words are what stands between blanks."""

    def word_tokenize(self, text: str) -> list[str]:
        """Return a text's words."""
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        """Return the text: nobody asks for sentences."""
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Return where the text lies."""
        return [(0, len(text))]


def main(texts: Path, told: Path, clusters: Path, words: int, buckets: int, hashes: int) -> None:
    """Find near duplicates; write seconds, and the number of each text's cluster."""
    with tempfile.TemporaryDirectory(dir=clusters.parent) as place:
        home = Path(place)
        sizes = _cut(texts, home / "in")
        config = MinhashConfig(
            n_grams=words,
            num_buckets=buckets,
            hashes_per_bucket=hashes,
            hash_config=HashConfig(precision=32),
        )
        seconds = {}
        for name, pipeline, tasks in _steps(home, config):
            began = time.monotonic()
            _run(pipeline, tasks, home)
            seconds[name] = time.monotonic() - began
        shutil.rmtree(home / "removed")
        again = MinhashDedupCluster(
            str(home / "pairs"), str(home / "removed"), config, True, lines_to_buffer=BUFFERED
        )
        _run([again], 1, home)
        np.save(clusters, _clusters(home / "removed", sizes))
    peaks = [resource.getrusage(who).ru_maxrss * 1024 for who in (-1, 0)]
    result = {
        "name": "datatrove",
        "versions": {name: version(name) for name in ("datatrove", "numpy", "xxhash")},
        "settings": {"words": words, "buckets": buckets, "hashes": hashes},
        "seconds": sum(seconds.values()),
        "seconds_by_step": seconds,
        "peak_bytes": max(peaks),
    }
    told.write_text(json.dumps(result), encoding="utf-8")


def _steps(home: Path, config: MinhashConfig) -> list[tuple[str, list[object], int]]:
    read = CSVReader(str(home / "in"))
    signed, pairs, removed = (str(home / name) for name in ("signed", "pairs", "removed"))
    written = JsonlWriter(str(home / "out"), compression=None)
    return [
        ("sign", [read, MinhashDedupSignature(signed, config, Blanks())], PROCESSES),
        (
            "pairs",
            [MinhashDedupBuckets(signed, pairs, config=config, lines_to_buffer=BUFFERED)],
            config.num_buckets,
        ),
        ("cluster", [MinhashDedupCluster(pairs, removed, config, lines_to_buffer=BUFFERED)], 1),
        (
            "filter",
            [read, MinhashDedupFilter(removed, lines_to_buffer=BUFFERED), written],
            PROCESSES,
        ),
    ]


def _run(pipeline: list[object], tasks: int, home: Path) -> None:
    LocalPipelineExecutor(
        pipeline,
        tasks=tasks,
        workers=min(tasks, PROCESSES),
        logging_dir=tempfile.mkdtemp(dir=home),
        skip_completed=False,
    ).run()


def _cut(texts: Path, folder: Path) -> list[int]:
    """Write the table as one file a process and return how many rows each has."""
    folder.mkdir()
    with texts.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    size = -(-len(rows) // PROCESSES)
    parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    for number, part in enumerate(parts):
        with (folder / f"{number}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([head, *part])
    return [len(part) for part in parts]


def _clusters(folder: Path, sizes: list[int]) -> np.ndarray:
    """Return the number of each text's cluster; who has none is one."""
    found = -1 - np.arange(sum(sizes))
    for number, start in enumerate(np.cumsum([0, *sizes[:-1]])):
        path = folder / f"{number:06d}.clusters"
        if path.exists():
            pairs = np.fromfile(path, dtype="<u4").reshape(-1, 2)
            found[start + pairs[:, 0]] = pairs[:, 1]
    return found


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:]))

"""Bessemer's `prepare`, or its near duplicates alone, in a process of its own.

    python -m bench.near prepare|find texts.csv told.json clusters.npy

The clock starts when the table is opened, as that of the peers does.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bench.command import peak_bytes
from bessemer.core.progress import Step
from bessemer.core.project import Data, Prepare
from bessemer.prepare import near_duplicates
from bessemer.prepare.ledger import FINDINGS
from bessemer.prepare.rows import Workshop
from bessemer.prepare.runner import Inputs, Prepared, prepare, source_for
from bessemer.prepare.select import select
from bessemer.tasks.text_classification import TextClassification


def prepared(files: dict[str, Path], target: Path) -> Prepared:
    """Run the verb on files with the columns text and label, all rules as they are by default."""
    data = Data(source=files["source"].name)
    return prepare(
        TextClassification(data.labels), data, Prepare(), Inputs(files, "", 0), target, _silent
    )


def clusters_of(rows: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """Return the number of each text's cluster, shape [texts]."""
    graph = coo_array((np.ones(len(rows)), (rows, others)), shape=(count, count))
    found: np.ndarray = connected_components(graph, directed=False)[1]
    return found


def main(what: str, texts: Path, told: Path, clusters: Path) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=told.parent) as place:
        target = Path(place)
        if what == "prepare":
            made = prepared({"source": texts}, target)
            seconds = time.monotonic() - began
            result: dict[str, Any] = {
                "findings": {one.rule: one.count for one in made.findings},
                "counts": made.counts,
            }
            count = made.history[0].rows
            found = pq.read_table(target / FINDINGS).to_pydict()
            near = [n for n, rule in enumerate(found["rule"]) if "near" in rule]
            # Rows are counted from 1.
            rows, others = (
                np.array([found[name][n] for n in near]) - 1 for name in ("row", "other")
            )
        else:
            data = Data(source=texts.name)
            batches = source_for(texts)[1]().read(texts, data)
            table = Workshop(target).keep(select(batches, data.columns, {}, texts.name))
            count = table.num_rows
            same = np.zeros(count, dtype=np.int8)
            labels = table["label"].combine_chunks().dictionary_encode().indices.to_numpy()
            pairs = near_duplicates.find(table["text"], same, labels, _silent)
            seconds = time.monotonic() - began
            rows, others, result = pairs.rows, pairs.others, {}
    peak = peak_bytes()
    np.save(clusters, clusters_of(rows, others, count))
    told.write_text(json.dumps({"seconds": seconds, "peak_bytes": peak, **result}))


def _silent(step: Step) -> None:
    """Hear how far it is."""


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))

"""What was found in the rows and what was done about it: every row is named, every repair told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bessemer.core import digest
from bessemer.core.dataset import SHOWN, Finding, Version

#: All rows of all findings, beside the rows of each split.
FINDINGS = "findings.parquet"
Numbers = NDArray[np.int64]
#: All rows of all findings, as they are written beside the data set. `other` is the row that
#: another one is like.
SCHEMA = pa.schema(
    [
        ("rule", pa.string()),
        ("action", pa.string()),
        ("source", pa.string()),
        ("row", pa.int64()),
        ("other_source", pa.string()),
        ("other", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Named:
    """Rows by the source that they come from, "source", "test" …, and their number in it."""

    sources: pa.Array
    rows: Numbers

    @classmethod
    def of(cls, source: str, rows: Numbers) -> Named:
        """Return rows that come from one source."""
        return cls(pa.repeat(source, len(rows)), rows)

    def at(self, places: Numbers) -> Named:
        """Return those at some places."""
        return Named(self.sources.take(pa.array(places)), self.rows[places])


class Ledger:
    """Findings in the order in which they were made, and the versions that repairs led to.

    Args:
        inputs: Digest of what determines the rows as they are read.
        rows: How many were read.
    """

    def __init__(self, inputs: str, rows: int) -> None:
        read = Version(digest=inputs, parent=None, rule="read", action="read", changed=0, rows=rows)
        self.history = [read]
        self.findings: list[Finding] = []
        self._parts: list[pa.RecordBatch] = []

    def found(
        self,
        rule: str,
        action: str,
        named: Named,
        *,
        detail: str = "",
        others: Named | None = None,
        lost: int | None = None,
    ) -> Finding:
        """Write down a finding; no rows, no finding, but a version where rows were lost.

        Args:
            rule: What kind of flaw.
            action: "kept", or what was done to the rows.
            named: Which ones.
            detail: Anything else to be told.
            others: The row that each of them is like.
            lost: How many rows there are less since, if not those that were dropped.
        """
        rows = named.rows
        finding = Finding(
            rule=rule,
            action=action,
            count=len(rows),
            rows=tuple(rows[:SHOWN].tolist()),
            detail=detail,
            sources=tuple(named.sources.unique().to_pylist()),
        )
        if len(rows):
            self.findings.append(finding)
        elif not lost:
            return finding
        if action != "kept":
            parent = self.history[-1]
            dropped = len(rows) if action == "dropped" else 0
            self.history.append(
                Version(
                    digest=digest.of_json([parent.digest, rule, action]),
                    parent=parent.digest,
                    rule=rule,
                    action=action,
                    changed=len(rows),
                    rows=parent.rows - (dropped if lost is None else lost),
                )
            )
        nothing = pa.nulls(len(rows))
        columns = [
            pa.repeat(rule, len(rows)),
            pa.repeat(action, len(rows)),
            named.sources,
            pa.array(rows),
            nothing.cast(pa.string()) if others is None else others.sources,
            nothing.cast(pa.int64()) if others is None else pa.array(others.rows),
        ]
        self._parts.append(pa.record_batch(columns, schema=SCHEMA))
        return finding

    def write(self, path: Path) -> None:
        """Write all rows of all findings as a Parquet file."""
        pq.write_table(pa.Table.from_batches(self._parts, SCHEMA), path)

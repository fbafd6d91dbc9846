"""One table through the checks of one source, as `prepare` puts it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from bessemer.core.dataset import Finding
from bessemer.core.project import Columns, Data, Labels, Prepare
from bessemer.prepare import checks, duplicates
from bessemer.prepare.desk import ANNOTATOR, Desk
from bessemer.prepare.ledger import Ledger
from bessemer.prepare.rows import Workshop
from bessemer.prepare.select import select
from bessemer.prepare.sources.csv import Csv
from bessemer.tasks.base import Task
from bessemer.tasks.text_classification import TextClassification


def mend(
    path: Path, rules: dict[str, str], columns: Columns | None = None, task: Task | None = None
) -> tuple[pa.Table, list[Finding]]:
    columns = columns or Columns()
    shop = Workshop(path.parent)
    extra = {ANNOTATOR: columns.annotator} if columns.annotator else {}
    batches = Csv().read(path, Data(source=path.name, columns=columns))
    table = shop.keep(select(batches, columns, extra, path.name))
    ledger = Ledger("0" * 64, table.num_rows)
    task = task or TextClassification(Labels())
    desk = Desk(task, Prepare.model_validate(rules), ledger, shop, "source", path.name)
    table = duplicates.without_exact(checks.mend(table, desk), desk)
    assert ledger.history[-1].rows == table.num_rows
    return table, ledger.findings

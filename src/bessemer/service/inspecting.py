"""Which labels of a project's data set are probably wrong: a stage beside the chain."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bessemer.core.dataset import SPLITS, Inspection, Suspect
from bessemer.core.errors import ProjectError, needs
from bessemer.core.progress import Watcher
from bessemer.service.dataset_rows import INSPECTION, SUSPECTS
from bessemer.service.home import Home
from bessemer.service.pipeline import Pipeline
from bessemer.service.project_file import Loaded, at
from bessemer.service.recipe import planned
from bessemer.service.vectors import vectors
from bessemer.tasks.base import IGNORED, Encoded

#: Rows that the record tells of, whether they are taken for errors or not.
TOLD = 100


def inspect(home: Home, loaded: Loaded, watcher: Watcher) -> Inspection:
    """Rank the rows of all splits by how probably their label is wrong; nothing is changed.

    Each row is judged by a probe on the frozen base that learnt from other rows.

    Raises:
        ProjectError: The task is of another family than labels of whole texts.
    """
    path = stage(Pipeline(home, planned(home, loaded, watcher), watcher), loaded)
    return Inspection.model_validate_json((path / INSPECTION).read_text(encoding="utf-8"))


def stage(pipeline: Pipeline, loaded: Loaded) -> Path:
    """Return the folder with the ranked rows, made if need be; see `inspect`."""
    if not pipeline.task.pooled:
        raise ProjectError(
            f"{at(loaded, ('task',))}label errors are looked for in labels of whole texts, not in"
            f" those of {loaded.project.task}.",
            remedy="Have a sample labelled by a second annotator instead.",
        )
    pipeline.prepare()
    return pipeline.stage("inspect", lambda target: _inspect(pipeline, target))


def _inspect(pipeline: Pipeline, target: Path) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bessemer.prepare import label_errors
    from bessemer.prepare.checks import answers_of

    task, project, watcher = pipeline.task, pipeline.plan.project, pipeline.watcher
    tables = {split: pipeline.rows(split) for split in SPLITS}
    table = label_errors.together(tables, project.data.split.group)
    texts = table["text"].to_pylist()
    targets = np.stack(task.targets(Encoded(texts, []), answers_of(table, task)))
    # An out-of-scope label that no training row has is none that could be judged.
    known = np.flatnonzero(np.atleast_2d(targets.T != IGNORED).all(axis=0))
    encoded = np.asarray(vectors(pipeline.home, pipeline.plan, texts, watcher.step))
    with needs("train"):
        from bessemer.train import folds

        columns = [[" ".join(text.casefold().split()) for text in texts]]
        if "group" in table.column_names:
            columns.append(table["group"].to_pylist())
        chances, judged = folds.out_of_fold(
            encoded[known],
            targets[known],
            len(task.labels),
            folds.groups(*columns)[known],
            project.seed,
            watcher.step,
        )
    rows = known[judged]
    ranked = label_errors.rank(task, table.take(pa.array(rows)), chances[judged], targets[rows])
    pq.write_table(ranked, target / SUSPECTS)
    finding = label_errors.finding(ranked, len(texts) - len(rows))
    suspects = tuple(Suspect(**row) for row in ranked.slice(0, TOLD).to_pylist())
    record = Inspection(
        dataset=pipeline.plan.keys["prepare"],
        judged=len(rows),
        finding=finding,
        suspects=suspects,
    )
    (target / INSPECTION).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return f"{finding.count} labels probably wrong, {finding.detail}"

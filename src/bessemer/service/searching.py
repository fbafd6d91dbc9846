"""The stage `search`: where its study lies, and who does its trainings.

    python -m bessemer.service.searching

is a process that trains for another one. On stdin come a line with home and plan and then a line
for each order; on stdout go how far it is and what came of it. It ends when its stdin does,
wherever it is: it does not outlive the other, and no two processes ever write one checkpoint.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from bessemer.core import errors, folder
from bessemer.core.errors import BessemerError, OperatorError
from bessemer.core.progress import Progress, Step, Watcher
from bessemer.service.home import Home, open_home
from bessemer.service.recipe import Plan
from bessemer.train.search import (
    PRUNE_AFTER,
    PRUNE_FROM,
    Attempt,
    Finder,
    Order,
    Told,
    Trainer,
    attempt,
)

if TYPE_CHECKING:
    import optuna

    from bessemer.service.pipeline import Pipeline
    from bessemer.train.methods.base import Lesson

#: Of Optuna's tables on PostgreSQL: like Alembic, it calls its version table alembic_version.
SCHEMA = "search"
#: Seconds that one thread or process waits for another's writing.
PATIENCE = 60


def search(pipeline: Pipeline) -> dict[str, Any]:
    """Return what the project's search finds; see `Finder.run`.

    Raises:
        OperatorError: Every trial failed, a worker died, or the study cannot be kept.
    """
    plan = pipeline.plan
    block = plan.project.train.search
    assert block is not None
    work = _work(pipeline)
    _, options = pipeline.method()
    with (
        folder.storage_errors(work),
        _study(pipeline.home, plan.keys["search"]) as study,
        _trainers(pipeline, min(block.workers, block.trials)) as trainers,
    ):
        finder = Finder(
            study,
            block,
            {name: getattr(options, name) for name in block.space or {}},
            seed=plan.project.seed,
            progress=pipeline.watcher.step,
            forget=lambda order: shutil.rmtree(work / order, ignore_errors=True),
        )
        return finder.run(trainers)


def hand_over(pipeline: Pipeline, train: Path) -> None:
    """Let the best trial's checkpoint be the training's, and remove what else a search left.

    The training then ends where the trial did and costs nothing.
    """
    work = _work(pipeline)
    best = work / f"trial-{pipeline.found('best')}"
    if best.exists() and not train.exists():
        best.rename(train)
    shutil.rmtree(work, ignore_errors=True)


def _work(pipeline: Pipeline) -> Path:
    return pipeline.home.root / "work" / f"search-{pipeline.plan.keys['search']}"


@contextmanager
def _study(home: Home, key: str) -> Iterator[optuna.Study]:
    """Yield the study of a stage, made if it is not there."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None
    try:
        storage = _storage(home)
        yield optuna.create_study(
            storage=storage,
            study_name=key,
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(PRUNE_AFTER, PRUNE_FROM),
        )
    except (optuna.exceptions.StorageInternalError, sa.exc.SQLAlchemyError) as error:
        raise OperatorError(
            f"The trials of the search could not be kept: {error.__cause__ or error}.",
            remedy="Repeat the command: finished trials count, a begun one goes on.",
        ) from error
    finally:
        if storage is not None:
            storage.engine.dispose()
        optuna.logging.set_verbosity(verbosity)


def _storage(home: Home) -> optuna.storages.RDBStorage:
    """Return Optuna's tables: in a schema of their own, on SQLite in a file beside the database.

    Beside our own tables Optuna would take the version of our schema for that of its own.
    """
    import optuna

    with home.database.begin() as connection:
        url, dialect = connection.engine.url, connection.dialect.name
        if dialect == "postgresql" and not sa.inspect(connection).has_schema(SCHEMA):
            connection.execute(sa.schema.CreateSchema(SCHEMA))
    arguments: dict[str, Any] = {"options": f"-csearch_path={SCHEMA}"}
    if dialect == "sqlite":
        file = Path(url.database or home.root / "bessemer.db")
        url = url.set(database=str(file.with_name(f"{file.stem}-search.db")))
        arguments = {"timeout": PATIENCE}
    # Optuna formats the address, and makes tables without asking whether another is at it:
    # transactions on our database take turns.
    template = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    with home.database.begin():
        return optuna.storages.RDBStorage(template, engine_kwargs={"connect_args": arguments})


@contextmanager
def _trainers(pipeline: Pipeline, count: int) -> Iterator[list[Trainer]]:
    if count == 1:
        yield [Here(pipeline)]
        return
    cores = int(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0] or os.cpu_count() or 1)
    workers = [Worker(pipeline, number, max(1, cores // count)) for number in range(count)]
    try:
        yield list(workers)
    finally:
        for worker in workers:
            worker.close()


class Here(Trainer):
    """Trains in this process."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    @cached_property
    def _lesson(self) -> Lesson:
        return self._pipeline.lesson()

    def train(self, order: Order, told: Told, progress: Progress) -> Attempt:
        """Carry out an order; see `Trainer.train`."""
        plan = self._pipeline.plan
        method, own = self._pipeline.method()
        options = type(own).model_validate({**plan.project.train.options, **order.options})
        name = f"{plan.project.name}-{plan.keys['search'][:12]}"
        lesson = replace(
            self._lesson,
            seed=order.seed,
            work=_work(self._pipeline) / order.name,
            events=self._pipeline.home.root / "tensorboard" / name / order.name,
            identity=plan.identity(order.options, order.seed),
            progress=progress,
        )
        return attempt(method, lesson, options, told)

    def stop(self) -> None:
        """Do nothing: nobody works beside this thread."""


class Worker(Trainer):
    """Has a process of its own train with some of the cores."""

    def __init__(self, pipeline: Pipeline, number: int, cores: int) -> None:
        self._pipeline = pipeline
        self._cores = cores
        self._log = _work(pipeline) / f"worker-{number}.log"
        self._process: subprocess.Popen[str] | None = None

    def train(self, order: Order, told: Told, progress: Progress) -> Attempt:
        """Carry out an order; see `Trainer.train`.

        Raises:
            OperatorError: The process died.
            BessemerError: What it met there.
        """
        self._send(asdict(order))
        while True:
            kind, *rest = self._receive()
            if kind == "step":
                progress(Step(*rest))
            elif kind == "told":
                self._send(told(*rest))
            elif kind == "error":
                raise _error(*rest)
            else:
                return Attempt(*rest)

    def stop(self) -> None:
        """Kill the process; its last checkpoint is whole."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process, if there is one, and wait until it has ended."""
        self.stop()
        if self._process is not None:
            self._process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bessemer.service.searching"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": str(self._cores)},
                text=True,
                # An interrupt from the keyboard is for us, who then end it.
                start_new_session=True,
            )
        return process

    def _send(self, value: Any) -> None:
        if self._process is None:
            self._process = self._start()
            plan = TypeAdapter(Plan).dump_python(self._pipeline.plan, mode="json")
            self._send({"home": str(self._pipeline.home.root), "plan": plan})
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def _receive(self) -> list[Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise self._died()
        found: list[Any] = json.loads(line)
        return found

    def _died(self) -> OperatorError:
        assert self._process is not None
        code = self._process.wait()
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        return OperatorError(
            f"A worker of the search ended with {code}. It said last: {said or 'nothing'}",
            remedy="Repeat the command: finished trials count, a begun one goes on. If memory is"
            " short, lower train.search.workers.",
        )


def _error(kind: str, message: str, remedy: str) -> BessemerError:
    """Return an error as it was raised in another process."""
    known: type[BessemerError] = getattr(errors, kind, BessemerError)
    error = known.__new__(known)
    BessemerError.__init__(error, message, remedy=remedy)
    return error


def main() -> None:
    """Do the trainings that are asked for on stdin."""
    from bessemer.service.pipeline import Pipeline

    # What a library prints must not stand between the lines.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    heard: queue.Queue[Any] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            heard.put(json.loads(line))
        os._exit(0)

    def say(*values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    def told(epoch: int, log_loss: float) -> bool:
        say("told", epoch, log_loss)
        return bool(heard.get())

    threading.Thread(target=listen, daemon=True).start()
    asked = heard.get()
    plan = TypeAdapter(Plan).validate_python(asked["plan"])
    pipeline = Pipeline(open_home(asked["home"]), plan, Watcher())
    pipeline.prepare()
    here = Here(pipeline)
    while True:
        order = Order(**heard.get())
        try:
            done = here.train(order, told, lambda step: say("step", *astuple(step)))
        except BessemerError as error:
            say("error", type(error).__name__, error.message, error.remedy)
        else:
            say("done", *astuple(done))


if __name__ == "__main__":
    main()

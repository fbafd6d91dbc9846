"""SIGKILL at random instants of a training, some inside a save: nothing is lost, no bit differs.

The parent imports everything once and forks a child for every attempt, so that the instants fall
into the training and not into imports. A child is a process group of its own and is killed whole.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tests.families import tiny_base, write_family

from bench.base import Bench, Row, at_least, at_most
from bessemer.core.progress import Watcher
from bessemer.service.pipeline import Pipeline
from bessemer.service.platform import Platform
from bessemer.service.project_file import load
from bessemer.service.recipe import plan
from bessemer.train.methods.base import Learnt, Lesson, Method

TRAIN = "{method: full, epochs: 3, batch_size: 4, checkpoint_every: 2, patience: 9, max_length: 24}"
KILLS = 200


@dataclass(frozen=True)
class Kills:
    """What came of it."""

    kills: int
    #: Of these, while a checkpoint was being written.
    inside_a_save: int
    trainings: int
    #: Trainings whose weights were not those of the one that nobody killed.
    different: int
    #: Attempts that ended by themselves, but with an error.
    broken: int


def digest(learnt: Learnt) -> str:
    """Return a digest of every bit of the trained weights."""
    parts = hashlib.sha256()
    for tensors in (learnt.head, learnt.encoder or {}):
        for name in sorted(tensors):
            parts.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return parts.hexdigest()


def kill_again_and_again(kills: int, place: Path, seed: int = 0) -> Kills:
    """Train a tiny model, killing it at random, until so many kills were survived."""
    torch.set_num_threads(1)
    base = tiny_base(place / "base")
    project = write_family(place / "project", "text-classification", TRAIN, base=str(base))
    home = Platform.open(place / "home").home
    pipeline = Pipeline(home, plan(load(project), place), Watcher())
    pipeline.prepare()
    method, options = pipeline.method()
    lesson = pipeline.lesson()
    home.database.close()

    def attempt(number: int, wait: float | None) -> tuple[int, str]:
        return _attempt(method, options, lesson, place / f"work{number}", wait)

    began = time.monotonic()
    status, wanted = attempt(0, None)
    whole = time.monotonic() - began
    assert status == 0, "the training that nobody kills fails"
    draws = random.Random(seed)
    done = inside = different = broken = trainings = 0
    while done < kills:
        trainings += 1
        seen: set[Path] = set()
        while True:
            # Past the last kill a training may end, which shows what it has become.
            wait = draws.uniform(0.02, whole / 2) if done < kills else None
            status, found = attempt(trainings, wait)
            if status == signal.SIGKILL:
                done += 1
                # What an earlier kill left lies there until the next save sweeps it.
                torn = set((place / f"work{trainings}").glob("*partial*"))
                inside += bool(torn - seen)
                seen = torn
                continue
            broken += status != 0
            different += found != wanted
            break
        shutil.rmtree(place / f"work{trainings}")
    return Kills(done, inside, trainings, different, broken)


def _attempt(
    method: Method, options: Any, lesson: Lesson, work: Path, wait: float | None
) -> tuple[int, str]:
    """Train in a forked process group, killed after `wait` seconds; return signal and digest."""
    result = work.with_suffix(".digest")
    result.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            learnt = method.learn(
                replace(lesson, work=work, events=work.with_suffix(".events")), options
            )
            result.write_text(digest(learnt))
            code = 0
        finally:
            os._exit(code)
    if wait is not None:
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.002)
        else:
            os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return killed, result.read_text() if result.exists() else ""


def measure() -> tuple[list[Row], dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        found = kill_again_and_again(KILLS, Path(folder))
    rows = [
        at_least("SIGKILLs of the process group survived", found.kills, "", KILLS),
        at_least("… of these inside a save", found.inside_a_save, "", 1),
        at_most("trainings lost", found.broken, "", 0),
        at_most("resumed trainings with other bits", found.different, "", 0),
        Row("trainings that came to their end", found.trainings, ""),
    ]
    return rows, vars(found)


BENCH = Bench(
    "resume",
    "a training killed at 200 random instants, some inside a save",
    "0 lost, resumed runs bit-equal",
    5,
    measure,
)

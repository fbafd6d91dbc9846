"""A search on real rows, a tiny model and a real study: found, kept, gone on with, shared."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
from tests import postgres
from tests.families import write_family

from bessemer.core.errors import OperatorError, ProjectError, StorageError
from bessemer.core.progress import Progress, Step, Watcher
from bessemer.core.project import Search
from bessemer.service import searching
from bessemer.service.home import Home, open_home
from bessemer.service.platform import Platform
from bessemer.service.project_file import Loaded, load, parse
from bessemer.service.recipe import plan
from bessemer.train.search import (
    PRUNE_AFTER,
    PRUNE_FROM,
    Attempt,
    Finder,
    Order,
    Told,
    Trainer,
    noise,
)

TRAIN = (
    "method: full, max_length: 16, epochs: 3, batch_size: 10, checkpoint_every: 4, "
    "choose_by: log_loss"
)
SPACE = "{learning_rate: [1e-3, 0.5], class_weight: [none, balanced], dropout: [0, 0.2]}"


class Kept(Watcher):
    """Keeps what it was told, and is interrupted at a given note."""

    def __init__(self, interrupt: str = "never") -> None:
        self.interrupt = interrupt
        self.steps: list[Step] = []
        self.stages: dict[str, tuple[bool, str]] = {}

    def step(self, step: Step) -> None:
        self.steps.append(step)
        if step.note.startswith(self.interrupt):
            raise KeyboardInterrupt

    def ended(self, stage: str, seconds: float, *, reused: bool, note: str) -> None:
        self.stages[stage] = (reused, note)


def write(folder: Path, tiny: Path, search: str) -> Path:
    block = f"{{{TRAIN}, search: {search}}}"
    return write_family(folder, "text-classification", block, base=str(tiny))


def train(home: Path, project: Path, watcher: Watcher | None = None) -> dict[str, Any]:
    """Run as far as the weights and return what the search found."""
    platform = Platform.open(home)
    try:
        platform.train(project, watcher=watcher)
    finally:
        platform.home.database.close()
    [found] = (home / "stages" / "search").glob("*/search.json")
    return json.loads(found.read_text())


@pytest.fixture(scope="module")
def searched(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], Kept]:
    """Return the folder of a home and a project that was searched, what was found, and told."""
    place, kept = tmp_path_factory.mktemp("searched"), Kept()
    project = write(place / "project", tiny, f"{{trials: 4, seeds: 2, space: {SPACE}}}")
    return place, train(place / "home", project, kept), kept


def key_of(project: Loaded) -> str:
    return plan(project, project.folder).keys["search"]


def loaded(place: Path) -> tuple[Home, Loaded]:
    return open_home(place / "home"), load(place / "project")


def test_the_best_options_are_found_and_trained(searched: tuple[Path, dict, Kept]) -> None:
    place, found, kept = searched
    trials = found["trials"]
    assert [trial["number"] for trial in trials] == list(range(4))
    own = {"learning_rate": 1e-4, "class_weight": "none", "dropout": None}
    assert trials[0]["options"] == own
    finished = [trial for trial in trials if trial["state"] == "finished"]
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    assert pruned
    best = min(finished, key=lambda trial: trial["log_loss"])
    assert found["options"] == best["options"]
    assert all(trial["log_loss"] > best["log_loss"] for trial in pruned)
    assert all(0 <= trial["score"] <= 1 for trial in finished)
    assert found["repeats"][0] == {"seed": 0, **{k: best[k] for k in ("log_loss", "score")}}
    assert found["repeats"][1]["seed"] == 1
    assert found["repeats"][1]["log_loss"] != best["log_loss"]
    assert found["noise"]["log_loss_deviation"] > 0
    [notes] = (place / "home" / "stages" / "train").glob("*/notes.json")
    notes = json.loads(notes.read_text())
    assert (notes["log_loss"], notes["validation_score"]) == (best["log_loss"], best["score"])
    assert list((place / "home" / "work").iterdir()) == []
    assert kept.stages["search"] == (False, found["noise"]["told"])
    told = [step for step in kept.steps if step.what == "search"]
    assert (told[-1].done, told[-1].total, told[-1].unit) == (4, 4, "trials")


def test_it_is_reused_and_its_trials_are_kept(searched: tuple[Path, dict, Kept]) -> None:
    place, found, _ = searched
    kept = Kept()
    assert train(place / "home", place / "project", kept) == found
    assert kept.stages["search"][0]
    assert kept.stages["train"][0]
    home, project = loaded(place)
    with closing(home.database), searching._study(home, key_of(project)) as kept:
        values = [trial.value for trial in kept.get_trials()]
    assert values == [trial["log_loss"] for trial in found["trials"]]


def test_a_search_that_was_interrupted_goes_on_and_finds_the_same(
    searched: tuple[Path, dict, Kept], tmp_path: Path
) -> None:
    """Interrupted in a trial and in the training from another seed: nothing is done twice."""
    place, wanted, _ = searched
    for interrupt in ("trial-2: train 5/", "seed-1: train 5/"):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "home", place / "project", Kept(interrupt))
    kept = Kept()
    found = train(tmp_path / "home", place / "project", kept)
    told = [step.note for step in kept.steps]
    assert not any(note.startswith("trial-") for note in told)
    assert next(n for n in told if n.startswith("seed-1: train ") and "/0" not in n)[14] == "5"
    for one in (found, wanted):
        for trial in one["trials"]:
            trial.pop("seconds", None)
    assert found == wanted


def test_two_workers_share_a_study(tiny: Path, tmp_path: Path) -> None:
    project = write(
        tmp_path / "project", tiny, "{trials: 2, workers: 2, seeds: 1, space: {dropout: [0, 0.2]}}"
    )
    found = train(tmp_path / "home", project)
    assert [trial["state"] for trial in found["trials"]] == ["finished"] * 2
    assert found["trials"][0]["options"] == {"dropout": None}
    assert found["noise"]["log_loss_deviation"] is None
    assert "not measured" in found["noise"]["told"] or found["best"] == 0
    home, project = loaded(tmp_path)
    with closing(home.database), searching._study(home, key_of(project)) as kept:
        one, other = kept.get_trials()
    assert max(one.datetime_start, other.datetime_start) < one.datetime_complete
    assert max(one.datetime_start, other.datetime_start) < other.datetime_complete
    assert list((tmp_path / "home" / "work").iterdir()) == []


class Pretended(Trainer):
    """A trainer without a model: a loss as a function of the order."""

    def __init__(self, loss: Callable[[Order], float | None]) -> None:
        self.loss = loss
        self.done: list[str] = []

    def train(self, order: Order, told: Told, progress: Progress) -> Attempt:
        self.done.append(order.name)
        loss = self.loss(order)
        if loss is None:
            return Attempt("failed", 0.0, error="The loss is nan at step 3.")
        for epoch in (1, 2, 3):
            if not told(epoch, loss + 1 / epoch):
                return Attempt("pruned", 0.0)
        return Attempt("finished", 0.0, loss, 0.5)

    def stop(self) -> None:
        pass


def study() -> optuna.Study:
    return optuna.create_study(pruner=optuna.pruners.MedianPruner(PRUNE_AFTER, PRUNE_FROM))


def finder(study: optuna.Study, trials: int = 20) -> Finder:
    search = Search(trials=trials, seeds=3, space={"rate": [1e-4, 1.0], "size": [1, 9]})
    own = {"rate": 0.5, "size": 4}
    return Finder(study, search, own, seed=0, progress=print, forget=print)


def test_the_sampler_learns_and_draws_the_same_again() -> None:
    found = []
    for _ in range(2):
        trainer = Pretended(lambda order: abs(order.options["rate"] - 0.01) + order.seed / 1000)
        found.append(finder(study(), 30).run([trainer]))
    assert found[0] == found[1]
    assert found[0]["options"]["rate"] == pytest.approx(0.01, abs=0.01)
    states = [trial["state"] for trial in found[0]["trials"]]
    assert states[0] == "finished"
    assert states.count("pruned") > 3
    assert found[0]["noise"]["log_loss_deviation"] == pytest.approx(0.001)


def test_trials_that_fail_are_told_and_others_win() -> None:
    trainer = Pretended(lambda order: None if order.options["rate"] > 0.1 else 1.0)
    found = finder(study()).run([trainer])
    assert found["trials"][0]["error"] == "The loss is nan at step 3."
    assert "own options failed" in found["noise"]["told"]
    failing = study()
    for done in (4, 0):
        trainer = Pretended(lambda order: None)
        with pytest.raises(OperatorError, match=r"None of the 4 trials.*nan.*learning_rate"):
            finder(failing, 4).run([trainer])
        assert len(trainer.done) == done


def test_what_no_option_caused_ends_the_search() -> None:
    def full(order: Order) -> float:
        if order.name == "trial-1":
            raise StorageError("The disk is full.")
        return 1.0

    kept = study()
    with pytest.raises(StorageError, match="disk is full"):
        finder(kept).run([Pretended(full), Pretended(full)])
    again = Pretended(lambda order: 1.0)
    found = finder(kept).run([again])
    assert len(found["trials"]) == 20
    assert "trial-0" not in again.done
    assert again.done.count("trial-1") == 1


def test_postgresql_keeps_a_study_beside_our_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.server(tmp_path / "server") as server:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE b")
        monkeypatch.setenv("BESSEMER_DATABASE", f"{server}/b")
        for _ in range(2):
            home = open_home(tmp_path / "home")
            with closing(home.database), searching._study(home, "one") as kept:
                found = finder(kept, 5).run([Pretended(lambda order: order.options["rate"])])
        assert len(found["trials"]) == 5
        with psycopg.connect(f"{server}/b") as connection:
            rows = connection.execute(
                "SELECT table_schema FROM information_schema.tables"
                " WHERE table_name = 'alembic_version'"
            ).fetchall()
    assert sorted(rows) == [("public",), ("search",)]


def test_noise_is_told_from_a_lead() -> None:
    def told(lead: float, losses: list[float]) -> str:
        trials = [
            {"number": n, "state": "finished", "log_loss": loss}
            for n, loss in enumerate([1.0, 1.0 - lead, 1.1, 1.2])
        ]
        repeats = [{"log_loss": loss, "score": 0.5} for loss in losses]
        return noise(trials, trials[1], repeats)["told"]

    sentence = told(0.1, [0.9, 0.91, 0.92])
    assert sentence.startswith("the best of 4 trials is 0.1000 nats better")
    assert "±0.0100" in sentence
    assert sentence.endswith("more than noise")
    assert "no more" not in sentence
    assert told(0.01, [0.99, 1.01, 1.03]).endswith("this is no more than noise")
    assert "not measured" in told(0.01, [0.99])


REFUSED = {
    "no trials": ("full, search: {trials: 0}", r"line 3.*trials is 0"),
    "an unknown key": ("full, search: {trails: 3}", r"line 3.*'trials'"),
    "an unknown option": (
        "full, search: {space: {learning_rat: [1e-5, 1e-4]}}", r"line 3.*mean 'learning_rate'"),
    "no values": ("full, search: {space: {dropout: []}}", r"dropout is \[\].*nothing to choose"),
    "low above high": ("full, search: {space: {dropout: [0.2, 0.1]}}", r"\[0.2, 0.1\].*below"),
    "no option": ("full, search: {space: {}}", r"line 3.*space is empty"),
    "a value too large": ("full, search: {space: {dropout: [0, 2]}}", r"holds 2.*less than 1"),
    "a list": ("probe, search: {space: {strengths: [[1], [2]]}}", r"no single value"),
    "both": ("full, dropout: 0, search: {space: {dropout: [0, 0.1]}}", r"set and searched"),
    "nothing usual": ("probe, search: {}", r"nothing to try: probe has none"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_searched_is_refused_with_its_place(name: str) -> None:
    block, message = REFUSED[name]
    text = f"name: a\ndata: {{source: t.csv}}\ntrain: {{method: {block}}}\n"
    with pytest.raises(ProjectError, match=message):
        parse(text, Path(), "bessemer.yaml")


def test_the_usual_space_leaves_out_what_is_set() -> None:
    block = "{method: lora, batch_size: 8, device: cpu, search: {}}"
    text = f"name: a\ndata: {{source: t.csv}}\ntrain: {block}\n"
    train = parse(text, Path(), "bessemer.yaml").project.train
    assert (train.options["batch_size"], train.device) == (8, "cpu")
    assert train.search.space["learning_rate"] == [0.00025, 0.004]
    assert {"rank", "averaging", "dropout"} < train.search.space.keys()
    assert "batch_size" not in train.search.space

"""One run: along the chain as far as asked, with its record kept up at every stage."""

from __future__ import annotations

import json
from typing import get_args

from bessemer.core.errors import BessemerError, ConflictError, RequestError
from bessemer.core.progress import Step, Watcher
from bessemer.core.records import Check, Deployment, Release, Run, Until
from bessemer.service import judgements
from bessemer.service.deployments import Deployments, check_no_alias, told
from bessemer.service.evaluations import ANSWERS
from bessemer.service.home import Home
from bessemer.service.pipeline import Pipeline
from bessemer.service.project_file import Loaded, explain
from bessemer.service.recipe import planned, unmitigated
from bessemer.service.releases import tell_override
from bessemer.service.runs import Runs


def check(home: Home, loaded: Loaded, watcher: Watcher | None = None) -> Check:
    """Validate a project and its data, and return what it would be made from."""
    pipeline = Pipeline(home, planned(home, loaded, watcher), watcher or Watcher())
    pipeline.prepare()
    return Check(settings=tuple(explain(loaded)), dataset=pipeline.dataset())


def run(
    home: Home,
    loaded: Loaded,
    until: Until,
    watcher: Watcher,
    announced: str = "",
    override: str | None = None,
) -> Run:
    """Walk along the chain and return the run's record.

    Args:
        home: Where outputs and records lie.
        loaded: The project.
        until: The last thing to do; `deploy` also puts a new release behind its route.
        watcher: Is told of stages and steps.
        announced: Id of a run that was recorded before, or none.
        override: An owner's reason to release in spite of the gate, or None.

    Raises:
        BessemerError: A stage failed; the run's record says so as well.
    """
    if until not in get_args(Until):
        raise RequestError(f"until is {until!r}.", remedy=f"One of {', '.join(get_args(Until))}.")
    if override is not None:
        from bessemer.service.releasing import overridden

        # Refused now rather than after an hour of training.
        overridden(home, override)
    with home.database.begin() as connection:
        check_no_alias(connection, loaded.project.route)
    found = planned(home, loaded, watcher)
    runs = Runs(home)
    resolved = loaded.project.model_dump(mode="json")
    record = runs.begin(loaded.project.name, found.keys["release"], resolved, announced, found.keys)
    follower = _Follower(runs, record, watcher)
    pipeline = Pipeline(home, found, follower)
    try:
        _walk(pipeline, until, follower, override)
    except BaseException as error:
        state = "failed" if isinstance(error, Exception) else "interrupted"
        message = str(error) if isinstance(error, BessemerError) else repr(error)
        follower.end(home, state, error=message)
        raise
    state = "gate failed" if _failed(follower.record) else "succeeded"
    return follower.end(home, state)


class _Follower(Watcher):
    """Writes each finished stage into the run's record and passes everything on."""

    def __init__(self, runs: Runs, record: Run, watcher: Watcher) -> None:
        self._runs = runs
        self._watcher = watcher
        self.record = record

    def began(self, stage: str) -> None:
        self._watcher.began(stage)

    def step(self, step: Step) -> None:
        self._watcher.step(step)

    def ended(self, stage: str, seconds: float, *, reused: bool, note: str) -> None:
        """Keep the stage in the record."""
        self.keep(
            seconds={**self.record.seconds, stage: seconds},
            reused=(*self.record.reused, stage) if reused else self.record.reused,
        )
        self._watcher.ended(stage, seconds, reused=reused, note=note)

    def keep(self, **changes: object) -> Run:
        """Change the record here and in the database."""
        self.record = self._runs.save(self.record.model_copy(update=changes))
        return self.record

    def end(self, home: Home, state: str, error: str | None = None) -> Run:
        """Record how the run ended."""
        return self.keep(state=state, ended_at=home.clock(), error=error)


def _walk(pipeline: Pipeline, until: Until, follower: _Follower, override: str | None) -> None:
    if until == "prepare":
        pipeline.prepare()
        return
    pipeline.train()
    follower.keep(course=pipeline.course())
    if until == "train":
        return
    pipeline.evaluate()
    report, _ = pipeline.report()
    follower.keep(report=report, judged=_count_judgement(pipeline, follower.record.id))
    if until == "evaluate":
        return
    from bessemer.service.releasing import release

    verdict, made = release(pipeline, follower.record.id, override)
    follower.keep(verdict=verdict, release=made and made.id)
    if made is not None and until == "deploy":
        _deploy(pipeline, made, follower, override)


def _deploy(pipeline: Pipeline, made: Release, follower: _Follower, override: str | None) -> None:
    """Put a release behind its route unless it was there before, perhaps rolled back since."""
    project = pipeline.plan.project
    deployments = Deployments(pipeline.home)
    while True:
        history = deployments.list(project.route)
        if any(made.id in (d.release, d.canary) for d in history):
            serves = made.id in (history[0].release, history[0].canary)
            note = told(history[0]) if serves else f"{made.id} was taken from {project.route}"
            follower.ended("deploy", 0.0, reused=True, note=note)
            return
        live = history[0] if history else None
        if not _allowed(pipeline, made, live, follower, override):
            return
        share = project.serve.canary if live else None
        try:
            done = deployments.deploy(made.id, project.route, share, expected=live)
        except ConflictError:
            if deployments.live(project.route) == live:
                raise
            continue  # another run has deployed meanwhile, so that one is live to be judged against
        follower.ended("deploy", 0.0, reused=False, note=told(done))
        return


def _allowed(
    pipeline: Pipeline,
    made: Release,
    live: Deployment | None,
    follower: _Follower,
    override: str | None,
) -> bool:
    """Return whether a release may replace what is live, which may be newer than its verdict."""
    from bessemer.service.releasing import judge_against, overridden

    verdict = judge_against(pipeline, live)
    missed = {outcome.condition for outcome in verdict.outcomes if outcome.state != "passed"}
    if made.verdict.override is not None:
        # What an owner has let pass once need not be said again; anything else must.
        missed -= {one.condition for one in made.verdict.outcomes if one.state != "passed"}
    if not missed:
        return True
    if override is not None:
        verdict = verdict.model_copy(update={"override": overridden(pipeline.home, override)})
        with pipeline.home.database.begin() as connection:
            tell_override(pipeline.home, connection, made.id, verdict)
    follower.keep(verdict=verdict)
    return override is not None


def _count_judgement(pipeline: Pipeline, run: str) -> int:
    """Return how many models the test split has judged; its rows count, not where they lie."""
    plan = pipeline.plan
    told = json.loads((pipeline.input("evaluate") / ANSWERS).read_text(encoding="utf-8"))
    models = [plan.keys["export"]]
    if plan.project.train.mitigation is not None:
        models.append(unmitigated(plan).keys["export"])  # which it is held against
    return [judgements.count(pipeline.home, told["test"], model, run) for model in models][-1]


def _failed(record: Run) -> bool:
    return record.verdict is not None and not record.verdict.releases

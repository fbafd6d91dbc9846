"""The nouns that live in the database: runs, releases, deployments, aliases, keys, calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from bessemer.core.dataset import Dataset
from bessemer.core.notebook import table
from bessemer.core.record import Record
from bessemer.core.report import Comparison, Report
from bessemer.core.verdict import Verdict

Role = Literal["owner", "caller", "annotator"]
#: The last thing that a run is asked to do.
Until = Literal["prepare", "train", "evaluate", "release", "deploy"]


class Pretrained(Record):
    """A base model: where it came from and what may be done with it."""

    name: str
    #: SHA-256 over its weights, configuration and tokeniser.
    digest: str
    licence: str | None


class Setting(Record):
    """One setting of a project, resolved."""

    #: Dotted, as `data.split.test`.
    key: str
    value: Any
    #: "line 7" or "default".
    origin: str
    about: str


class Check(Record):
    """What `check` found: every setting, and the data set as it would be used."""

    settings: tuple[Setting, ...]
    dataset: Dataset


class Run(Record):
    """One execution of a project file, from the table to a release or as far as asked."""

    id: str
    project: str
    #: Digest of everything that determines the run.
    recipe: str
    state: Literal["running", "succeeded", "gate failed", "failed", "interrupted"]
    started_at: datetime
    ended_at: datetime | None
    #: Seconds of each stage; a reused stage has 0.
    seconds: dict[str, float]
    #: Stages whose stored output was used again.
    reused: tuple[str, ...]
    release: str | None
    report: Report | None
    verdict: Verdict | None
    error: str | None
    #: The project file with every default filled in.
    resolved: dict[str, Any]
    #: Digest of its data set; None in runs of older versions.
    dataset: str | None = None
    #: Digest of each stage's output, by stage; none in runs of older versions.
    stages: dict[str, str] = Field(default_factory=dict)
    #: How many models were judged by its test split so far, this one among them.
    judged: int | None = None
    #: Validation before the first epoch and after each: "log_loss" in nats, "score" of the headline
    #: metric. Empty where a method has no epochs.
    course: dict[str, tuple[float, ...]] = Field(default_factory=dict)

    def _repr_html_(self) -> str:
        """Return how it went, its report and the gate's verdict, for a notebook."""
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        rows = [("state", self.state), ("stages", stages), ("release", self.release or "none")]
        rows += [("error", self.error)] if self.error else []
        parts = [table(f"run {self.id} of {self.project}", ("", ""), rows)]
        parts += [self.report._repr_html_()] if self.report else []
        if self.verdict is not None:
            outcomes = ((o.condition, o.state, o.because) for o in self.verdict.outcomes)
            parts.append(table("gate", ("condition", "state", "because"), outcomes))
        return "".join(parts)


class SettingChange(Record):
    """A setting that differs between two runs; None where one of them has no such setting."""

    key: str
    first: Any
    second: Any


class RunComparison(Record):
    """Two runs side by side."""

    first: Run
    second: Run
    changed: tuple[SettingChange, ...]
    #: Their models on the same test rows, or why these cannot be compared.
    comparison: Comparison | None
    because: str = ""

    def _repr_html_(self) -> str:
        """Return what differs and how the models compare, for a notebook."""
        rows = [(c.key, str(c.first), str(c.second)) for c in self.changed]
        changed = table("settings that differ", ("", self.first.id, self.second.id), rows)
        told = self.comparison._repr_html_() if self.comparison else table(self.because, (), ())
        return changed + told


class Release(Record):
    """A model that passed its gate, or was let pass: signed, and named `<project>@<number>`."""

    id: str
    project: str
    number: int
    state: Literal["approved", "overridden"]
    run: str
    #: Digest that names the bundle in the store.
    bundle: str
    created_at: datetime
    report: Report
    verdict: Verdict


class Verification(Record):
    """What `releases verify` found."""

    release: str
    #: How many files were compared with their digests.
    files: int
    #: Fingerprint of the key that signed.
    signed_by: str


class Deployment(Record):
    """One change of what a route serves; the newest one of a route is live."""

    id: int
    route: str
    release: str
    #: Release that is tried beside it on a share of the callers, or None.
    canary: str | None
    #: Between 0 and 1, or None without a canary.
    share: float | None
    #: Whether serving processes let go of the route until it is loaded again.
    unloaded: bool
    #: The deployment that `rollback` returns to, or None at the first.
    previous: int | None
    at: datetime
    by: str
    live: bool


class Alias(Record):
    """Another name for a route."""

    name: str
    route: str
    at: datetime
    by: str


class Key(Record):
    """An API key as it is kept: the secret itself is not stored."""

    id: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


class NewKey(Record):
    """A key at the only moment its secret is known."""

    id: str
    name: str
    role: Role
    #: The whole key, to be sent as `Authorization: Bearer …`.
    secret: str


class Call(Record):
    """One served request, as it stands in the journal. The text itself is not kept."""

    id: str
    at: datetime
    #: That served it; an alias is not kept.
    route: str
    release: str
    key: str
    texts: int
    tokens: int
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    milliseconds: float


class CanaryState(Record):
    """What a serving process must know of a route's canary."""

    release: str
    #: Folder of the bundle.
    bundle: str
    share: float


class RouteState(Record):
    """What a serving process must know of one route."""

    release: str
    #: Folder of the bundle.
    bundle: str
    canary: CanaryState | None = None
    #: Release that `rollback` returns to: kept if it is in memory, never loaded for that.
    previous: str | None = None
    unloaded: bool = False


class KeyState(Record):
    """What a serving process must know of one key."""

    #: SHA-256 of the secret.
    secret_hash: str
    role: Role


class Snapshot(Record):
    """Routes and keys, published by service, read by every serving process."""

    version: int
    routes: dict[str, RouteState]
    keys: dict[str, KeyState]
    #: The route that each alias stands for.
    aliases: dict[str, str] = Field(default_factory=dict)

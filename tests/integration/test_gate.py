"""A gate that nobody walks around: by other labels, by old reasons, by what lies on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.conftest import overwrite, small_rows, write_csv, write_project

from bessemer.core import folder
from bessemer.core.errors import ConflictError
from bessemer.core.progress import Watcher
from bessemer.core.records import Run
from bessemer.core.verdict import Verdict
from bessemer.service.platform import Platform
from bessemer.store import tables

WORSE = "train: {strengths: [1.0e-7], max_length: 8}\n"
LIVE = "gate: [not_worse_than: {than: live, margin: 0.9}]\n"


@pytest.fixture
def opened(tiny: Path, tmp_path: Path) -> Iterator[tuple[Platform, str]]:
    """Return an empty home, and what begins a project's file."""
    platform = Platform.open(tmp_path / "home")
    yield platform, f"base: {tiny}\n"
    platform.home.database.close()


def renamed(place: Path, *labels: str) -> Path:
    """Write other names for some labels into a project's table; without names, for all."""
    rows = [
        (text, f"new {label}" if label in labels or not labels else label)
        for text, label in small_rows()
    ]
    write_csv(place / "table.csv", rows, ("text", "label"))
    return place


def because(run: Run) -> list[tuple[str, str]]:
    assert run.verdict is not None
    return [(one.state, one.because) for one in run.verdict.outcomes]


def overridden(platform: Platform) -> list[tuple[str, list[str]]]:
    query = sa.select(tables.events.c.subject, tables.events.c.detail)
    query = query.where(tables.events.c.verb == "gate overridden").order_by(tables.events.c.number)
    with platform.home.database.begin() as connection:
        return [(row.subject, row.detail["conditions"]) for row in connection.execute(query)]


def forget(platform: Platform, release: str) -> None:
    """Leave things as if the run had been killed before it registered its release."""
    with platform.home.database.begin() as connection:
        connection.execute(sa.delete(tables.releases).where(tables.releases.c.id == release))


def test_other_names_for_labels_make_no_model_better(
    opened: tuple[Platform, str], tmp_path: Path
) -> None:
    platform, base = opened
    assert platform.run(write_project(tmp_path / "first", base)).state == "succeeded"
    labels = sorted({label for _, label in small_rows()})
    some = renamed(write_project(tmp_path / "some", base + LIVE), labels[0])
    [(_, told)] = because(platform.run(some, until="release"))
    assert "test rows with labels that small@1 has not learnt are left out" in told
    gate = "gate: [better_than: live, not_worse_than: live]\n"
    every = renamed(write_project(tmp_path / "every", base + WORSE + gate))
    done = platform.run(every)
    assert done.state == "gate failed"
    lacks = "small@1 has learnt no label that is right for any test row"
    assert because(done) == [("not measured", lacks)] * 2


def test_a_release_that_never_says_that_nothing_fits_is_not_blamed_for_it(
    opened: tuple[Platform, str], tmp_path: Path
) -> None:
    platform, base = opened
    first = write_project(tmp_path / "first", base)
    none = small_rows()[0][1]
    rows = [row for row in small_rows() if row[1] != none]
    write_csv(first / "table.csv", rows, ("text", "label"))
    assert platform.run(first).state == "succeeded"
    second = write_project(tmp_path / "second", base + LIVE)
    rules = (second / "bessemer.yaml").read_text()
    labels = f"source: table.csv, labels: {{out_of_scope: {none}}}"
    (second / "bessemer.yaml").write_text(rules.replace("source: table.csv", labels))
    [(_, told)] = because(platform.run(second, until="release"))
    assert "test rows with labels that small@1 has not learnt are left out" in told


def test_a_reason_is_given_for_what_was_known_then(
    opened: tuple[Platform, str], tmp_path: Path
) -> None:
    platform, base = opened
    gate = "gate: [size_mb: {at_most: 0.001}, not_worse_than: {than: live, margin: 0}]\n"
    worse = write_project(tmp_path / "worse", base + WORSE + gate)
    assert platform.run(worse, until="release", override="size is fine").release == "small@1"
    assert overridden(platform) == [("small@1", ["size_mb at most 0.001"])]
    assert platform.run(write_project(tmp_path / "good", base)).release == "small@2"
    done = platform.run(worse, override="size is fine")
    assert done.verdict is not None
    assert done.verdict.override is not None
    assert [one.state for one in done.verdict.outcomes] == ["failed", "failed"]
    assert overridden(platform)[1:] == [
        ("small@1", ["size_mb at most 0.001", "not worse than live by more than 0"])
    ]
    assert platform.deployments.live("small").release == "small@1"


def test_what_lies_on_the_disk_of_the_live_release_is_not_believed(
    opened: tuple[Platform, str], tmp_path: Path
) -> None:
    platform, base = opened
    platform.run(write_project(tmp_path / "first", base))
    second = write_project(tmp_path / "second", base + WORSE + LIVE)
    assert because(platform.run(second, until="release"))[0][0] == "passed"
    forget(platform, "small@2")
    [answers] = (platform.home.root / "stages" / "rival").glob("*/answers.json")
    kept = answers.read_bytes()
    overwrite(answers, kept.replace(b"card", b"cord"))
    [(state, told)] = because(platform.run(second, until="release"))
    assert state == "not measured"
    assert "was changed after it was written" in told
    overwrite(answers, kept)
    # Changed, and sealed anew by somebody without the key.
    bundle = platform.releases.bundle(platform.releases.show("small@1"))
    overwrite(bundle / "README.md", b"all is well")
    (bundle / "manifest.json").unlink()
    folder.seal(bundle, unsealed=("statement.json",))
    [(state, told)] = because(platform.run(second, until="release"))
    assert state == "not measured"
    assert "README.md" in told


def test_what_is_signed_is_what_is_recorded_after_a_kill(
    opened: tuple[Platform, str], tmp_path: Path
) -> None:
    platform, base = opened
    project = write_project(tmp_path / "p", base + LIVE)
    assert because(platform.run(project, until="release")) == [("passed", "nothing is live yet")]
    forget(platform, "small@1")
    platform.run(write_project(tmp_path / "other", base + WORSE))
    done = platform.run(project, until="release")
    assert "small@1" in because(done)[0][1]
    found = platform.releases.show(done.release)
    for _ in range(2):
        text = (platform.releases.bundle(found) / "verdict.json").read_text()
        assert Verdict.model_validate_json(text) == found.verdict == done.verdict
        platform.releases.verify(found.id)
        # A bundle that is lost is made again as it was.
        platform.home.stages.discard("release", found.bundle)
        assert platform.run(project, until="release").release == found.id


def test_a_route_that_is_an_alias_is_refused_before_anything_runs(
    opened: tuple[Platform, str], tmp_path: Path
) -> None:
    platform, base = opened
    platform.run(write_project(tmp_path / "p", base))
    platform.aliases.set("front", "small")
    count = len(platform.runs.list())
    with pytest.raises(ConflictError, match="'front' is an alias"):
        platform.run(write_project(tmp_path / "other", base + "serve: {route: front}\n"))
    assert len(platform.runs.list()) == count


class _Swaps(Watcher):
    """Puts another file in the place of one when rows begin to be prepared."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content = path, content

    def began(self, stage: str) -> None:
        if stage == "prepare":
            self._path.write_bytes(self._content)


def test_a_file_that_changes_after_it_was_digested_is_refused(
    opened: tuple[Platform, str], tmp_path: Path
) -> None:
    platform, base = opened
    project = write_project(tmp_path / "p", base)
    table = project / "table.csv"
    honest = table.read_bytes()
    easy = b"".join(honest.splitlines(keepends=True)[:-4])
    with pytest.raises(ConflictError, match=r"table.csv changed while it was prepared"):
        platform.run(project, until="prepare", watcher=_Swaps(table, easy))
    table.write_bytes(honest)
    assert platform.run(project, until="prepare").reused == ()


def test_a_test_split_is_known_by_its_rows_and_those_that_leaked_are_counted(
    opened: tuple[Platform, str], tmp_path: Path
) -> None:
    platform, base = opened
    project = write_project(tmp_path / "p", base)
    rules = project / "bessemer.yaml"
    rules.write_text(rules.read_text().replace("test: 0.3", "test: test.csv"))
    rows = small_rows()
    write_csv(project / "table.csv", rows[::2], ("text", "label"))
    judged = []
    for order in (rows[1::2], rows[1::2][::-1]):
        write_csv(project / "test.csv", order, ("text", "label"))
        judged.append(platform.run(project, until="evaluate").judged)
    assert judged == [1, 2]
    # Rows that are learnt by heart: 6 to the letter, 2 nearly so.
    copied = [*rows[:12:2], *((text + "!!", label) for text, label in rows[12:16:2])]
    write_csv(project / "test.csv", [*rows[1::2], *copied], ("text", "label"))
    total = len(rows[1::2]) + len(copied)
    share = len(copied) / total
    rules.write_text(rules.read_text() + "gate: [leaked: {at_most: 0.01}]\n")
    done = platform.run(project, until="release")
    assert done.report.leaked.value == pytest.approx(share)
    assert because(done) == [("failed", f"it is {share:g}; {len(copied)} of {total} rows")]

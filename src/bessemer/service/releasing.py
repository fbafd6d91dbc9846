"""The last stage: judge the report and, if the gate lets it pass, write a signed bundle."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from bessemer.bundle import format as bundle_format
from bessemer.bundle import signature
from bessemer.bundle.format import CONFIG, CONTENTS, STATEMENT, TOKENISER, Contents
from bessemer.core import digest, folder
from bessemer.core.errors import BessemerError, ContractError, RequestError
from bessemer.core.evaluation import AgainstLive
from bessemer.core.records import Deployment, Release
from bessemer.core.verdict import Override, Verdict
from bessemer.core.version import VERSION
from bessemer.evaluate.asking import computed
from bessemer.evaluate.comparison import difference
from bessemer.measures.intervals import exact
from bessemer.release.card import card
from bessemer.release.gates import Rival, judge
from bessemer.serve import residents
from bessemer.service import evaluating, exporting, logits, mitigating, signing
from bessemer.service.deployments import Deployments
from bessemer.service.evaluations import ANSWERS, LOGITS
from bessemer.service.home import Home
from bessemer.service.keys import Keys
from bessemer.service.pipeline import Pipeline
from bessemer.service.recipe import CHAIN, column_of
from bessemer.service.releases import Releases
from bessemer.service.runs import Runs
from bessemer.tasks.base import TASKS, Answers, label_of, said_by

VERDICT, PROJECT, CARD, RELOADED = "verdict.json", "project.json", "README.md", "reloaded.json"
#: How many test texts a fresh process answers again before a bundle counts as written.
RELOADED_TEXTS = 32
#: Characters of the reason for an override.
MOST_REASON = 1000
#: Raised when the live release would answer the same texts otherwise, or be kept otherwise.
RIVAL_VERSION = 4


def release(
    pipeline: Pipeline, run: str, override: str | None = None
) -> tuple[Verdict, Release | None]:
    """Return the gate's verdict and, if it lets the model pass, the release, made if need be.

    Args:
        pipeline: The model.
        run: Its id.
        override: An owner's reason to release in spite of the verdict, or None.

    Raises:
        ForbiddenError: Somebody else than an owner overrides.
        RequestError: The reason says nothing.
    """
    pipeline.evaluate()
    with pipeline.home.stages.lock("releasing", digest.of_json(pipeline.plan.project.name)):
        return _released(pipeline, run, override)


def _released(pipeline: Pipeline, run: str, override: str | None) -> tuple[Verdict, Release | None]:
    home, key = pipeline.home, pipeline.plan.keys["release"]
    project, releases = pipeline.plan.project, Releases(pipeline.home)
    report, _ = pipeline.report()
    known = {one.bundle: one.verdict for one in releases.list(project.name)}
    verdict = known.get(key) or judge_against(pipeline, Deployments(home).live(project.route))
    if not verdict.passed:
        if override is None:
            return verdict, None
        said = overridden(home, override)
        # Another bundle: who let it pass, and why, is a part of what is signed.
        key = digest.of_json([key, said.by, said.reason])
        verdict = known.get(key) or verdict.model_copy(update={"override": said})
    if key not in known:
        # A run that was killed before it registered its bundle may have judged otherwise.
        home.stages.discard("release", key)
    pipeline.stage(
        "release", lambda target: _bundle(pipeline, target, verdict), unsealed=(STATEMENT,), key=key
    )
    return verdict, releases.register(project.name, run, key, report, verdict)


def overridden(home: Home, reason: str) -> Override:
    """Return an owner's override of the gate.

    Raises:
        ForbiddenError: Somebody else than an owner asks.
        RequestError: The reason says nothing.
    """
    Keys(home).require_owner("override the gate")
    if not reason.strip() or len(reason) > MOST_REASON:
        raise RequestError(
            f"The reason {reason[:40]!r} has not 1 to {MOST_REASON} characters.",
            remedy="Say why the model is released in spite of the gate.",
        )
    return Override(by=home.actor, at=home.clock(), reason=reason.strip())


def judge_against(pipeline: Pipeline, live: Deployment | None) -> Verdict:
    """Return the gate's verdict against what is live, however old the release is."""
    report, _ = pipeline.report()
    return judge(pipeline.plan.conditions, report, _rival(pipeline, live))


def _bundle(pipeline: Pipeline, target: Path, verdict: Verdict) -> str:
    """Write all files, answer again in a fresh process, seal and sign."""
    plan, project, exported = pipeline.plan, pipeline.plan.project, pipeline.exported()
    (report, _), dataset = pipeline.report(), pipeline.dataset()
    contents = Contents(
        project=project.name,
        task=plan.parts["task"],
        base=plan.base.record,
        tier=exported["tier"],
        engine=exported["engine"],
        labels=dataset.labels,
        label_rules=project.data.labels,
        max_length=project.train.max_length,
        calibration=exported["calibration"],
        validation_score=exported["validation_score"],
        group_thresholds=mitigating.thresholds(pipeline),
    )
    for name, path in exporting.files(pipeline).items():
        # A base's tokenizer belongs to someone else, who may change it.
        (shutil.copyfile if name == TOKENISER else folder.link)(path, target / name)
    documents = {
        CONTENTS: contents.model_dump(mode="json"),
        CONFIG: plan.base.config,
        "report.json": report.model_dump(mode="json"),
        VERDICT: verdict.model_dump(mode="json"),
        PROJECT: project.released(),
    }
    for name, value in documents.items():
        text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
        (target / name).write_text(text + "\n", encoding="utf-8")
    searched = pipeline.found("noise").get("told", "")
    about = {"intended": pipeline.task.intended, "searched": searched}
    text = card(project, contents, dataset, report, verdict, **about)
    (target / CARD).write_text(text, encoding="utf-8")
    _reload(pipeline, target)
    folder.seal(target, unsealed=(STATEMENT,))
    key = signing.signing_key(pipeline.home)
    predicate = {
        "project": project.name,
        "created_at": pipeline.home.clock().isoformat(),
        "builder": f"bessemer {VERSION}",
        "parts": plan.parts,
        "stages": {stage: key for stage, key in plan.keys.items() if stage in CHAIN},
        "files": plan.digests,
        "base": plan.base.record.digest,
    }
    (target / STATEMENT).write_bytes(signature.sign(target, key, predicate))
    return f"signed by {signature.fingerprint(key.public_key())}"


def _reload(pipeline: Pipeline, target: Path) -> None:
    """Hold the bundle's answers in a fresh process against those that were judged.

    Raises:
        ContractError: They differ.
    """
    texts = pipeline.rows("test")["text"].to_pylist()[:RELOADED_TEXTS]
    found = logits.read(pipeline.input("evaluate") / LOGITS)[: len(texts)]
    folder.seal(target)
    beside = target.with_name(f"{target.name}.reload.partial")
    beside.mkdir()
    try:
        (beside / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        logits.write(beside / LOGITS, found)
        paths = [str(target), str(beside / "texts.json"), str(beside / LOGITS)]
        command = [sys.executable, "-m", "bessemer.service.reload", *paths]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    if done.returncode:
        raise ContractError(
            f"The bundle, loaded in a fresh process, answers otherwise: {done.stdout.strip()}"
            f" {done.stderr.strip()[-500:]}"
        )
    (target / folder.MANIFEST).unlink()
    result = {"texts": len(texts), "logits": "equal to the bit", "process": "fresh"}
    (target / RELOADED).write_text(json.dumps(result) + "\n", encoding="utf-8")


def _rival(pipeline: Pipeline, live: Deployment | None) -> Rival | None:
    """Return the live release, answered on the same test rows; None if the gate asks for none."""
    if live is None or not any(
        isinstance(condition.bound, AgainstLive) for condition in pipeline.plan.conditions
    ):
        return None
    found = Releases(pipeline.home).show(live.release)
    ours = evaluating.examined_test(pipeline)
    model = Runs(pipeline.home).show(found.run).stages.get("export")
    if model == pipeline.plan.keys["export"]:
        # The same model answers alike on all texts there are, not on these alone.
        return Rival(found.id, exact(f"{pipeline.task.metric_names[0]}_difference", 0.0, len(ours)))
    try:
        theirs, labels = _answers_of(pipeline, found)
    except (BessemerError, ValueError) as error:
        return Rival(found.id, None, f"{found.id} could not be measured: {error}")
    known = np.array([labels.issuperset(map(label_of, row)) for row in ours.actual], dtype=bool)
    if not known.any():
        lacks = f"{found.id} has learnt no label that is right for any test row"
        return Rival(found.id, None, lacks)
    rows = np.flatnonzero(known).tolist()
    actual, answered, instead = (
        [side[row] for row in rows] for side in (ours.actual, ours.answered, theirs)
    )
    gain = difference(pipeline.task, actual, answered, instead, ours.sampling.of(known))
    left = len(known) - len(rows)
    because = f"{left} test rows with labels that {found.id} has not learnt are left out"
    return Rival(found.id, gain, because if left else "")


def _answers_of(pipeline: Pipeline, live: Release) -> tuple[list[Answers], set[str | None]]:
    """Return a release's answers to the test texts, computed once and kept, and its labels."""
    stages, project = pipeline.home.stages, pipeline.plan.project
    key = digest.of_json([RIVAL_VERSION, live.bundle, pipeline.plan.keys["prepare"]])
    bundle = Releases(pipeline.home).bundle(live)
    signing.verify(pipeline.home, bundle)
    texts = pipeline.rows("test")["text"].to_pylist()
    with stages.lock("rival", key):
        if not stages.has("rival", key):
            resident = residents.load(bundle)
            step = pipeline.watcher.step
            encoded = resident.encode(texts)
            seen = computed(resident.model.run, encoded.features, step, "compare with live")
            if (by_group := resident.contents.group_thresholds) is not None:
                for name in by_group.across:
                    if column_of(project, name) not in pipeline.dataset().columns:
                        raise ContractError(f"it needs the column {name!r}")
                seen = resident.shifted(seen, mitigating.groups(pipeline, "test", by_group.across))
            found = resident.task.answers(encoded, seen, resident.contents.calibration)
            with stages.make("rival", key) as aside:
                cells = [resident.task.write(row) for row in found]
                (aside / ANSWERS).write_text(json.dumps(cells), encoding="utf-8")
    path = stages.path("rival", key)
    folder.check(path)
    cells = json.loads((path / ANSWERS).read_text(encoding="utf-8"))
    # Read as they were written: the live release may have other rules for its labels.
    contents = bundle_format.contents(bundle)
    family = contents.task.partition("@")[0]
    if family != project.task:
        raise ContractError(f"it does {family}, this project {project.task}")
    writer, task = TASKS.load(family)(contents.label_rules, contents.labels), pipeline.task
    parsed = [writer.parse(text, cell) for text, cell in zip(texts, cells, strict=True)]
    # Without having learnt it, it answers that nothing fits where it refuses what is unsure.
    refuses = contents.label_rules.out_of_scope or "threshold" in contents.calibration
    says_nothing = {task.nothing} if refuses or not writer.answers_once else set()
    return said_by(writer, task, parsed), {*contents.labels, *says_nothing}

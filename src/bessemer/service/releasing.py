"""The last stage: judge the report and, if the gate lets it pass, write a signed bundle."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from bessemer.bundle import format as bundle_format
from bessemer.bundle import signature
from bessemer.bundle.format import (
    ADAPTER,
    ADAPTER_CONFIG,
    CONFIG,
    CONTENTS,
    ENCODER,
    HEAD,
    STATEMENT,
    TOKENISER,
    Contents,
)
from bessemer.core import digest, folder
from bessemer.core.errors import BessemerError, ContractError
from bessemer.core.records import Release
from bessemer.core.report import Verdict
from bessemer.core.version import VERSION
from bessemer.engines.base import ENGINES
from bessemer.evaluate.answers import answers
from bessemer.evaluate.report import difference
from bessemer.pretrained import resolve
from bessemer.release.card import card
from bessemer.release.gates import NOT_WORSE, Rival, judge
from bessemer.serve import residents
from bessemer.service import signing
from bessemer.service.deployments import Deployments
from bessemer.service.pipeline import LOGITS, Pipeline, read_logits, write_logits
from bessemer.service.recipe import CHAIN, engine_name
from bessemer.service.releases import Releases
from bessemer.tasks.base import TASKS, Answers

VERDICT, PROJECT, CARD, RELOADED = "verdict.json", "project.json", "README.md", "reloaded.json"
#: How many test texts a fresh process answers again before a bundle counts as written.
RELOADED_TEXTS = 32


def release(pipeline: Pipeline, run: str) -> tuple[Verdict, Release | None]:
    """Return the gate's verdict and, if it passed, the release, made if need be."""
    pipeline.evaluate()
    home, key = pipeline.home, pipeline.plan.keys["release"]
    project, report = pipeline.plan.project, pipeline.report()
    releases = Releases(home)
    if home.stages.has("release", key):
        text = (home.stages.path("release", key) / VERDICT).read_text(encoding="utf-8")
        verdict = Verdict.model_validate_json(text)
    else:
        verdict = judge(project.gate, report, _rival(pipeline))
        if not verdict.passed:
            return verdict, None
    pipeline.stage(
        "release", lambda target: _bundle(pipeline, target, verdict), unsealed=(STATEMENT,)
    )
    return verdict, releases.register(project.name, run, key, report, verdict)


def judge_live(pipeline: Pipeline) -> Verdict:
    """Return the gate's verdict against what is live now, however old the release is."""
    return judge(pipeline.plan.project.gate, pipeline.report(), _rival(pipeline))


def _bundle(pipeline: Pipeline, target: Path, verdict: Verdict) -> str:
    """Write all files, answer again in a fresh process, seal and sign."""
    plan, project, exported = pipeline.plan, pipeline.plan.project, pipeline.exported()
    report, dataset = pipeline.report(), pipeline.dataset()
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
    )
    export, train = pipeline.input("export"), pipeline.input("train")
    for name in {*ENGINES.load(engine_name(exported["engine"])).files, ENCODER} - {CONFIG}:
        folder.link(export / name, target / name)
    for name in (HEAD, ADAPTER, ADAPTER_CONFIG):
        if (train / name).exists():
            folder.link(train / name, target / name)
    shutil.copyfile(plan.base.folder / resolve.TOKENISER, target / TOKENISER)
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
    logits = read_logits(pipeline.input("evaluate") / LOGITS)[: len(texts)]
    folder.seal(target)
    beside = target.with_name(f"{target.name}.reload.partial")
    beside.mkdir()
    try:
        (beside / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        write_logits(beside / LOGITS, logits)
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


def _rival(pipeline: Pipeline) -> Rival | None:
    """Return the live release of the project's route, answered on the same test rows."""
    project = pipeline.plan.project
    live = Deployments(pipeline.home).live(project.route)
    if live is None or not any(NOT_WORSE in condition for condition in project.gate):
        return None
    found = Releases(pipeline.home).show(live.release)
    try:
        theirs = _answers_of(pipeline, found)
    except (BessemerError, ValueError) as error:
        return Rival(found.id, None, f"{found.id} could not be measured: {error}")
    task = pipeline.task
    encoded, actual = pipeline.examples("test")
    logits = read_logits(pipeline.input("evaluate") / LOGITS)
    ours = task.answers(encoded, logits, pipeline.exported()["calibration"])
    gain = difference(task, actual, ours, theirs, project.evaluate, project.seed)
    return Rival(found.id, gain)


def _answers_of(pipeline: Pipeline, live: Release) -> list[Answers]:
    """Return a release's answers to the test texts; computed once and kept."""
    stages, project = pipeline.home.stages, pipeline.plan.project
    key = digest.of_json([2, live.bundle, pipeline.plan.keys["prepare"]])
    bundle = Releases(pipeline.home).bundle(live)
    texts = pipeline.rows("test")["text"].to_pylist()
    with stages.lock("rival", key):
        if not stages.has("rival", key):
            resident = residents.load(bundle)
            step = pipeline.watcher.step
            encoded = resident.encode(texts)
            logits = answers(resident.model.run, encoded.features, step, "compare with live")
            found = resident.task.answers(encoded, logits, resident.contents.calibration)
            with stages.make("rival", key) as aside:
                cells = [resident.task.write(row) for row in found]
                (aside / "answers.json").write_text(json.dumps(cells), encoding="utf-8")
    path = stages.path("rival", key) / "answers.json"
    cells = json.loads(path.read_text(encoding="utf-8"))
    # Read as they were written: the live release may have other rules for its labels.
    contents = bundle_format.contents(bundle)
    family = contents.task.partition("@")[0]
    if family != project.task:
        raise ContractError(f"it does {family}, this project {project.task}")
    writer, task = TASKS.load(family)(contents.label_rules, contents.labels), pipeline.task
    found = [writer.parse(text, cell) for text, cell in zip(texts, cells, strict=True)]
    return [frozenset(task.nothing if a == writer.nothing else a for a in row) for row in found]

"""The digest of everything that determines each stage's output, found without running any."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bessemer.core import digest, terms
from bessemer.core.errors import ProjectError
from bessemer.core.evaluation import Evaluate
from bessemer.core.progress import Watcher
from bessemer.core.project import Project
from bessemer.engines.base import ENGINES
from bessemer.evaluate import robustness, swaps
from bessemer.prepare.desk import LABELLED
from bessemer.prepare.origins.base import Place
from bessemer.prepare.presidio import Model, model_of
from bessemer.prepare.sources.base import source_for
from bessemer.pretrained.resolve import Base, known, resolve
from bessemer.release.conditions import Parsed, asked, needs, needs_memory, parse
from bessemer.service.home import Home
from bessemer.service.inputs import digest_of, fetched, sources
from bessemer.service.labels import labelled
from bessemer.service.mitigating import determines
from bessemer.service.project_file import Loaded, at
from bessemer.tasks.base import TASKS, Task
from bessemer.train import mitigation
from bessemer.train.methods.base import METHODS

#: Stages in their order, each with its version: raised when its code would give another
#: output from the same inputs. A part has a version of its own. The last two lie beside the chain.
CHAIN = {"prepare": 4, "search": 1, "train": 3, "export": 4, "evaluate": 4, "release": 4}
STAGES = {**CHAIN, "encode": 1, "inspect": 2}


@dataclass(frozen=True)
class Plan:
    """A project with everything it names found and digested."""

    project: Project
    base: Base
    #: `source`, and `test` or `validation` where these are files of their own.
    files: dict[str, Path]
    digests: dict[str, str]
    #: Task, method, sources and engine as `name@version`.
    parts: dict[str, str]
    #: Digest of each stage's output, by stage.
    keys: dict[str, str]
    #: Of the data, where the project or its publisher states it.
    licence: str | None
    #: The model that looks for names of people in the texts, if one does.
    pii_model: Model | None
    #: The gate, read.
    conditions: tuple[Parsed, ...]
    #: What is measured: as the project says, and what its gate asks for.
    evaluate: Evaluate

    def identity(self, found: dict[str, Any], seed: int) -> dict[str, str]:
        """Return what determines a training, by name, for its checkpoints to be held against.

        Args:
            found: Options that a search found or tries, if there is one.
            seed: Of the training.
        """
        return {
            "data": self.keys["prepare"],
            "base": self.base.record.digest,
            "method": self.parts["method"],
            "task": self.parts["task"],
            "options": digest.of_json({**_own(self.project), **found}),
            "seed": str(seed),
        }


def plan(
    loaded: Loaded, cache: Path, watcher: Watcher | None = None, labels: Path | None = None
) -> Plan:
    """Find what a project names and return the keys of its stages.

    Args:
        loaded: The project.
        cache: Folder for downloads, and for bases that are converted.
        watcher: Is told of a conversion.
        labels: What people said in the project's campaigns, if there are any.

    Raises:
        UserError: Something named does not exist or is not allowed; nothing was computed.
    """
    project = loaded.project
    task = TASKS.load(project.task)(project.data.labels)
    _check_labels(loaded, task)
    conditions, evaluate = _gate(loaded, task)
    _check_split(project)
    pii_model = _pii_model(loaded)
    base = _lower_layers(loaded, _base(loaded, cache, watcher))
    _check_length(loaded, base)
    place = Place(loaded.folder, cache, watcher or Watcher())
    found = {role: fetched(loaded, role, place) for role in sources(project)}
    files = {role: one.path for role, one in found.items()}
    if labels is not None:
        files[LABELLED] = labels
    digests = {role: digest_of(path) for role, path in files.items()}
    parts = _parts(project, files)
    licence = project.data.licence or found["source"].licence
    made = Plan(
        project=project,
        base=base,
        files=files,
        digests=digests,
        parts=parts,
        keys={},
        licence=licence,
        pii_model=pii_model,
        conditions=conditions,
        evaluate=evaluate,
    )
    return replace(made, keys=_keys(made))


def unmitigated(plan: Plan) -> Plan:
    """Return the plan of the same model trained without its mitigation."""
    train = plan.project.train.model_copy(update={"mitigation": None})
    other = replace(plan, project=plan.project.model_copy(update={"train": train}))
    return replace(other, keys=_keys(other))


def planned(home: Home, loaded: Loaded, watcher: Watcher | None = None) -> Plan:
    """Return what a project is made from, the labels that people gave in campaigns included."""
    downloads = home.root / "downloads"
    labels = labelled.snapshot(home, loaded.project.name, downloads / "labels", loaded.project)
    return plan(loaded, downloads, watcher, labels)


def column_of(project: Project, name: str) -> str:
    """Return what a column of the source is called among the prepared rows."""
    columns = project.data.columns
    roles = {columns.text: "text", columns.label: "label", columns.id: "id"}
    return roles.get(name, name)


def engine_name(serve_engine: str) -> str:
    """Return the catalogue's name of a serving engine: `onnx` of `onnx-int8`."""
    return serve_engine.partition("-")[0]


def _gate(loaded: Loaded, task: Task) -> tuple[tuple[Parsed, ...], Evaluate]:
    """Return the gate's conditions, and all that is measured.

    Names that Bessemer knows are looked up here; what needs the data set (columns, values, labels)
    is held against it in `service.checking`, once it is there.
    """
    project, settings = loaded.project, loaded.project.evaluate
    known = tuple(terms.lists(settings.terms))
    where = {name: at(loaded, ("evaluate", name)) for name in ("robustness", "counterfactual")}
    robustness.check(settings.robustness, task, where["robustness"])
    swaps.check(settings.counterfactual, known, where["counterfactual"])
    conditions = []
    for number, condition in enumerate(project.gate):
        place = at(loaded, ("gate", number))
        parsed = parse(condition, task.metric_names, place)
        for kind, name in needs(parsed, known):
            if kind == "robustness" and name == robustness.ALL:
                raise ProjectError(
                    f"{place}under is {name!r}: a condition is about one perturbation.",
                    remedy="Write a condition for each that matters.",
                )
            if kind == "robustness":
                robustness.check((name,), task, place)
            elif kind == "counterfactual":
                swaps.check((name,), known, place)
        conditions.append(parsed)
    # A condition must not change what is trained: a mitigation reads what the project says.
    mitigation.check(project, task, at(loaded, ("train", "mitigation")))
    return tuple(conditions), asked(settings, conditions, known)


def _base(loaded: Loaded, cache: Path, watcher: Watcher | None) -> Base:
    name = loaded.project.base
    if loaded.uploads is not None and name not in known() and not name.startswith("hub:"):
        raise ProjectError(
            f"base is {name!r}: a server takes no folder as a base.",
            remedy=f"Known: {', '.join(known())}, hub:<owner>/<name>@<revision>.",
        )
    return resolve(name, relative_to=loaded.folder, cache=cache, watcher=watcher)


def _pii_model(loaded: Loaded) -> Model | None:
    """Return the model that the project names for personal data, which is not fetched."""
    name = loaded.project.prepare.pii_model
    if name is None:
        return None
    sent = loaded.uploads is not None
    found = model_of(name, None if sent else loaded.folder)
    if found is None:
        raise ProjectError(
            f"{at(loaded, ('prepare', 'pii_model'))}pii_model is {name!r}, which is no spaCy model"
            + (" installed on this server." if sent else " installed here, nor a folder of one."),
            remedy="Install it: pip install 'bessemer[presidio]', then"
            " python -m spacy download <name>.",
        )
    return found


def _lower_layers(loaded: Loaded, base: Base) -> Base:
    """Return the base with as many of its layers as the project asks for."""
    asked = loaded.project.train.base_layers
    if asked is None:
        return base
    name = "n_layers" if "n_layers" in base.config else "num_hidden_layers"
    if asked > (count := base.config.get(name, 0)):
        raise ProjectError(
            f"{at(loaded, ('train', 'base_layers'))}base_layers is {asked}, the base"
            f" {base.record.name!r} names {count} layers in its config.json.",
            remedy="Write at most that, or leave it out to keep all.",
        )
    config = {**base.config, name: asked}
    if config.get("layer_types"):
        config["layer_types"] = config["layer_types"][:asked]
    return replace(base, config=config)


def _check_labels(loaded: Loaded, task: Task) -> None:
    """Refuse what the project says about labels and this family has no use for."""
    rules = loaded.project.data.labels
    for name in type(rules).model_fields:
        if getattr(rules, name) is not None and name not in task.label_rules:
            raise ProjectError(
                f"{at(loaded, ('data', 'labels', name))}labels.{name} says nothing to"
                f" {loaded.project.task}.",
                remedy="Remove it.",
            )
    for name in ("refuse", "precision"):
        if getattr(loaded.project.serve, name) is not None and not task.answers_once:
            raise ProjectError(
                f"{at(loaded, ('serve', name))}{name} is for texts with exactly one label.",
                remedy="Remove it: where a text may have several labels or spans, it may have"
                " none.",
            )


def _check_length(loaded: Loaded, base: Base) -> None:
    """Hold max_length against the positions that the base has learnt."""
    positions = base.config.get("max_position_embeddings")
    if positions is None:
        return
    # These number positions from behind their padding.
    if base.config["model_type"] in ("roberta", "xlm-roberta", "mpnet"):
        positions -= base.config.get("pad_token_id", 1) + 1
    if (asked := loaded.project.train.max_length) > positions:
        raise ProjectError(
            f"{at(loaded, ('train', 'max_length'))}max_length is {asked}, the base"
            f" {base.record.name!r} reads {positions} tokens.",
            remedy=f"Write at most {positions}.",
        )


def _check_split(project: Project) -> None:
    split = project.data.split
    given = [n for n in ("test", "validation") if isinstance(getattr(split, n), str)]
    if split.column and (split.group or given):
        other = "group" if split.group else given[0]
        raise ProjectError(
            f"data.split has both column and {other}.",
            remedy="A column says for each row where it belongs: remove the other.",
        )


def _parts(project: Project, files: dict[str, Path]) -> dict[str, str]:
    engine = engine_name(project.serve.engine)
    parts = {
        "task": f"{project.task}@{TASKS.load(project.task).version}",
        "method": f"{project.train.method}@{METHODS.load(project.train.method).version}",
        "engine": f"{engine}@{ENGINES.load(engine).version}",
    }
    for role, path in files.items():
        name, source = source_for(path)
        parts[role] = f"{name}@{source.version}"
    return parts


def _keys(plan: Plan) -> dict[str, str]:
    project, base, digests, parts = plan.project, plan.base, plan.digests, plan.parts
    keys: dict[str, str] = {}

    def add(stage: str, **inputs: Any) -> None:
        keys[stage] = digest.of_json({"stage": f"{stage}@{STAGES[stage]}", **inputs})

    data = project.data.model_dump(mode="json")
    readers = {role: parts[role] for role in digests}
    rules = project.prepare.model_dump(mode="json", exclude={"pii_model"})
    if plan.pii_model is not None:
        rules["pii_model"] = plan.pii_model.version
    add(
        "prepare",
        task=parts["task"],
        data=data,
        rules=rules,
        files=digests,
        readers=readers,
        seed=project.seed,
    )
    reading = {"base": base.record.digest, "length": project.train.max_length}
    reading["layers"] = project.train.base_layers
    reading["version"] = STAGES["encode"]
    add("inspect", data=keys["prepare"], task=parts["task"], seed=project.seed, **reading)
    training = {
        "data": keys["prepare"],
        "base": base.record.digest,
        "parts": [parts["task"], parts["method"]],
        "train": _own(project),
        "seed": project.seed,
    }
    if project.train.search is not None:
        # How many work at once may change between two sittings of one search.
        search = project.train.search.model_dump(mode="json", exclude={"workers"})
        add("search", **training, search=search)
        training["search"] = keys["search"]
    add("train", **training)
    served = project.serve
    serve = [served.engine, served.max_loss, served.refuse, served.precision]
    # Thresholds by group are found when all is learnt.
    last = project.train.mitigation == "group-thresholds"
    wanted = {"protected", "favourable", "least"} if last else set[str]()
    by_group = project.evaluate.model_dump(mode="json", include=wanted)
    add("export", weights=keys["train"], part=parts["engine"], serve=serve, groups=by_group)
    # How often a test split may judge changes nothing that is measured.
    settings = plan.evaluate.model_dump(mode="json", exclude={"judgements"})
    measured = {"settings": settings, "memory": needs_memory(plan.conditions)}
    group = project.data.split.group
    add("evaluate", model=keys["export"], seed=project.seed, group=group, **measured)
    add("release", report=keys["evaluate"], project=project.released())
    return keys


def _own(project: Project) -> dict[str, Any]:
    """Return what determines a training beside its search: the block, and what mitigation reads."""
    train = project.train.model_dump(mode="json", exclude={"search", "mitigation"})
    return {**train, **determines(project)}

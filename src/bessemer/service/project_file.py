"""Reading the project file strictly: every error names the key, the line and what to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bessemer.core.block import Block
from bessemer.core.errors import ProjectError, UnknownNameError, nearest
from bessemer.core.project import Project, Train
from bessemer.core.records import Setting
from bessemer.prepare.credentials import written_out
from bessemer.tasks.base import TASKS
from bessemer.train.methods.base import METHODS
from bessemer.train.space import filled

FILE = "bessemer.yaml"
MOST_BYTES = 1_000_000
#: What a file may hold, aliases written out.
MOST_DEPTH, MOST_NODES = 8, 10_000
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Loaded:
    """A project with its defaults filled in, and where it came from."""

    project: Project
    #: Folder that relative paths in the file start from.
    folder: Path
    #: Line of each key that stands in the file.
    lines: dict[Path_, int]
    #: Files that came with a project from elsewhere, by the name it gives them; then it may
    #: name no other file of this machine. None for a project of this machine.
    uploads: dict[str, Path] | None = None


def load(path: Path) -> Loaded:
    """Read a project file; a folder stands for the `bessemer.yaml` in it.

    Raises:
        ProjectError: The file is missing, no YAML, or says what is not understood.
        UnknownNameError: It names a task or method that does not exist.
    """
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        raise ProjectError(
            f"There is no project file {path}.",
            remedy="Make one with `bessemer init <your table>`, or name another.",
        )
    if path.stat().st_size > MOST_BYTES:
        raise ProjectError(f"{path} is larger than {MOST_BYTES:,} bytes.", remedy="Is it a table?")
    return parse(path.read_text(encoding="utf-8", errors="replace"), path.parent, str(path))


def parse(text: str, folder: Path, where: str, *, uploads: dict[str, Path] | None = None) -> Loaded:
    """Read the text of a project file; see `load` and `Loaded.uploads`."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ProjectError(f"{where} is no YAML: {error}.", remedy="Mend that line.") from error
    if not isinstance(node, yaml.MappingNode):
        raise ProjectError(f"{where} holds no keys.", remedy="It begins with `name: <product>`.")
    lines: dict[Path_, int] = {}
    values = _value(node, (), lines, where)
    try:
        project = Project.model_validate(values)
    except ValidationError as error:
        raise _translated(error, Project, (), lines, where) from error
    _check_secrets(project, lines, where)
    if project.task not in TASKS.names():
        raise UnknownNameError(
            "task", project.task, TASKS.names(), where=_at(where, lines, ("task",))
        )
    return Loaded(_with_options(project, lines, where), folder, lines, uploads)


def at(loaded: Loaded, path: Path_) -> str:
    """Return the beginning of a message about a key, as `line 7: gate: `."""
    return f"{_at(FILE, loaded.lines, path)}{path[0]}: "


def explain(loaded: Loaded) -> list[Setting]:
    """Return every setting with its value, where it comes from and what it means."""
    options = METHODS.load(loaded.project.train.method).Options
    return list(_settings(loaded.project, (), loaded.lines, options))


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the project file, the methods' options included."""
    result = Project.model_json_schema()
    train = result["$defs"]["Train"]
    variants = []
    for name in METHODS.names():
        options = METHODS.load(name).Options.model_json_schema()
        result["$defs"].update(options.pop("$defs", {}))
        method = {"const": name, "description": train["properties"]["method"]["description"]}
        properties = {**train["properties"], **options["properties"], "method": method}
        variant = {"type": "object", "additionalProperties": False, "properties": properties}
        default = Train.model_fields["method"].default
        variants.append(variant if name == default else {**variant, "required": ["method"]})
    result["$defs"]["Train"] = {"oneOf": variants, "description": train["description"]}
    result["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return result


def _check_secrets(project: Project, lines: dict[Path_, int], where: str) -> None:
    """Refuse passwords, which records and logs would show."""
    split = project.data.split
    for path, name in (
        (("data", "source"), project.data.source),
        (("data", "split", "test"), split.test),
        (("data", "split", "validation"), split.validation),
    ):
        if isinstance(name, str) and written_out(name):
            raise ProjectError(
                f"{_at(where, lines, path)}{'.'.join(path)} holds a password.",
                remedy="Write ${NAME} in its place, and set NAME in the environment of Bessemer.",
            )


def _with_options(project: Project, lines: dict[Path_, int], where: str) -> Project:
    """Return the project with the training method's options checked and filled in."""
    train = project.train
    if train.method not in METHODS.names():
        at = _at(where, lines, ("train", "method"))
        raise UnknownNameError("training method", train.method, METHODS.names(), where=at)
    options = METHODS.load(train.method).Options
    try:
        resolved = options.model_validate(train.options)
    except ValidationError as error:
        raise _translated(error, options, ("train",), lines, where, Train) from error
    known = {name: getattr(train, name) for name in Train.model_fields}
    if train.search is not None:
        known["search"] = filled(
            train, options, lambda *key: _at(where, lines, ("train", "search", "space", *key))
        )
    whole = Train.model_validate({**known, **resolved.model_dump()})
    return project.model_copy(update={"train": whole})


def _value(node: yaml.Node, path: Path_, lines: dict[Path_, int], where: str) -> Any:
    if len(path) > MOST_DEPTH or len(lines) > MOST_NODES:
        line = node.start_mark.line + 1
        raise ProjectError(
            f"{where}, line {line}: nested too deeply or too long.", remedy="Simplify it."
        )
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, n), lines, where) for n, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node, where)
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key, line = str(_scalar(key_node, where)), key_node.start_mark.line + 1
        if key in result:
            raise ProjectError(
                f"{where}, line {line}: the key {key!r} stands there twice.",
                remedy="Remove one of the two.",
            )
        result[key] = _value(value_node, (*path, key), lines, where)
        lines[(*path, key)] = line
    return result


def _scalar(node: yaml.Node, where: str) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        line = node.start_mark.line + 1
        raise ProjectError(
            f"{where}, line {line}: {node.tag!r} is no plain value.",
            remedy="Write a string, a number, true or false.",
        ) from error
    finally:
        loader.dispose()


def _at(where: str, lines: dict[Path_, int], path: Path_) -> str:
    while path and path not in lines:
        path = path[:-1]
    return f"{where}, line {lines.get(path, 1)}: "


def _translated(
    error: ValidationError,
    model: type[BaseModel],
    prefix: Path_,
    lines: dict[Path_, int],
    where: str,
    beside: type[BaseModel] | None = None,
) -> ProjectError:
    """Turn pydantic's first complaint into a sentence with line and remedy."""
    problem = error.errors()[0]
    place = tuple(
        part
        for part in problem["loc"]
        if not isinstance(part, str)
        or not part.startswith(("float", "str", "function", "constrained"))
    )
    path = (*prefix, *place)
    at = _at(where, lines, path)
    name = ".".join(map(str, path))
    if problem["type"] == "extra_forbidden":
        known = [*_keys(model, place[:-1]), *(beside.model_fields if beside else ())]
        close = nearest(str(place[-1]), known)
        return ProjectError(
            f"{at}the key {name!r} is not known.",
            remedy=(f"Did you mean {close!r}? " if close else "")
            + f"Known here: {', '.join(known)}.",
        )
    if problem["type"] == "missing":
        return ProjectError(f"{at}the key {name!r} is missing.", remedy="Add it.")
    return ProjectError(
        f"{at}{name} is {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}.",
        remedy="`bessemer check --explain` shows every key with its meaning.",
    )


def _keys(model: type[BaseModel], place: Path_) -> list[str]:
    for part in place:
        field = model.model_fields.get(str(part))
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        blocks = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if not blocks:
            return []
        model = blocks[0]
    return list(model.model_fields)


def _settings(
    block: BaseModel, path: Path_, lines: dict[Path_, int], options: type[Block]
) -> Iterator[Setting]:
    for name, value in block:
        place = (*path, name)
        if isinstance(value, BaseModel):
            yield from _settings(value, place, lines, options)
            continue
        field = type(block).model_fields.get(name) or options.model_fields.get(name)
        origin = f"line {lines[place]}" if place in lines else "default"
        about = (field.description or "") if field else ""
        yield Setting(
            key=".".join(map(str, place)), value=_plain(value), origin=origin, about=about
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

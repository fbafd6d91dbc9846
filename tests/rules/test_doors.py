"""The four doors offer the same: command line, Python here, Python at a distance, HTTP."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer

from bessemer.cli.main import COMMANDS, LazyGroup
from bessemer.client import Client
from bessemer.http.app import api
from bessemer.service.platform import Platform

#: What a door leaves out, and why.
LOCAL_ONLY = {
    "init": "writes a file beside a table of this machine",
    "serve": "starts a process of this machine",
    "label": "reads a pool of texts of this machine, and encodes all of them",
    "schema": "is the same everywhere and needs no server",
}
#: One HTTP route does what five methods do: it takes `until`.
ONE_ROUTE = {"prepare", "train", "evaluate", "release"}
#: The data plane, and how `Client` sends files: no methods of their own.
HTTP_ONLY = {"predict", "embed", "metrics", "files.put", "files.has", "openapi"}
#: How the doors are opened or wired, not what is done behind them.
PLUMBING = {"open", "acting_for", "serving", "jobs", "home"}


def methods(door: Any) -> dict[str, inspect.Signature]:
    """Return the public methods of a door, those of its nouns as `noun.method`."""
    found = {}
    for name in dir(door):
        if name.startswith("_") or name in PLUMBING:
            continue
        value = getattr(door, name)
        if callable(value):
            found[name] = inspect.signature(value)
            continue
        for inner in dir(value):
            method = getattr(value, inner)
            if not inner.startswith("_") and callable(method):
                # `import` is a word of the language.
                found[f"{name}.{inner.rstrip('_')}"] = inspect.signature(method)
    return found


def commands() -> set[str]:
    group = LazyGroup(name="bessemer")
    found = set()
    for name in COMMANDS:
        command = group.get_command(None, name)
        inner = getattr(command, "commands", None)
        found |= {f"{name}.{sub}" for sub in inner} if inner else {name}
    return found


#: Steps of the service that are no wish of a user.
SERVICE_ONLY = {
    "runs.begin", "runs.save", "releases.bundle", "releases.register",
    "deployments.live", "deployments.deploy", "keys.first", "keys.require_owner",
    "datasets.register", "datasets.reader", "datasets.zipped",
    "reports.sections", "reports.stylesheet",
}  # fmt: skip
#: What the pages do for annotators, and `label` for a project.
LABELLING = {
    "new", "add", "next", "hold", "say", "undo", "settle", "disagreements", "items", "answers",
}  # fmt: skip
SERVICE_ONLY |= {f"campaigns.{name}" for name in LABELLING}


def test_python_here_and_at_a_distance(platform: Platform) -> None:
    here = {k: v for k, v in methods(platform).items() if k not in SERVICE_ONLY}
    there = methods(Client("http://127.0.0.1:1", "key"))
    assert here.keys() - LOCAL_ONLY.keys() == there.keys()
    for name, signature in there.items():
        assert list(signature.parameters) == list(here[name].parameters), name


def test_the_command_line(platform: Platform) -> None:
    here = methods(platform).keys() - SERVICE_ONLY
    assert commands() - {"serve", "schema"} == here


def test_http(platform: Platform) -> None:
    paths = api(platform, platform.serving().plane).openapi()["paths"].values()
    names = {operation["operationId"] for path in paths for operation in path.values()}
    routes = {name for name in names if not name.startswith(("v1.", "v2."))} - HTTP_ONLY
    wanted = methods(platform).keys() - SERVICE_ONLY - LOCAL_ONLY.keys() - ONE_ROUTE
    assert routes == wanted


def test_every_command_has_help_and_json() -> None:
    group = LazyGroup(name="bessemer")
    for name in COMMANDS:
        command = group.get_command(typer.Context, name)
        for one in getattr(command, "commands", {name: command}).values():
            assert one.help, name
            options = {option for p in one.params for option in p.opts}
            assert "--json" in options or name == "schema", name


def test_the_cli_starts_the_server_and_nothing_else_of_http() -> None:
    source = Path(inspect.getfile(LazyGroup)).parent
    importing = [p.name for p in source.glob("*.py") if "bessemer.http" in p.read_text()]
    assert importing == ["serving.py"]

"""Write docs/reference/ from the code: `make docs`. A test fails when it is out of date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.routing import Route

from bessemer.cli.errors import BUG, EXIT_CODES, GATE_FAILED, INTERRUPTED
from bessemer.cli.main import COMMANDS, LazyGroup
from bessemer.console import app as console
from bessemer.console.guard import LOGIN, may
from bessemer.console.sessions import Sessions
from bessemer.core.clock import utc_now
from bessemer.core.evaluation import Threshold
from bessemer.core.project import Project
from bessemer.http.app import api
from bessemer.http.errors import STATUS
from bessemer.http.grpc.messages import SERVICE
from bessemer.http.grpc.rpcs import Rpcs
from bessemer.http.metrics import Metrics
from bessemer.http.middleware import CONTROL
from bessemer.serve import residents
from bessemer.serve.dataplane import DataPlane
from bessemer.serve.policies import LengthWindow
from bessemer.service.platform import Platform
from bessemer.train.methods.base import METHODS

FOLDER = Path(__file__).resolve().parent / "reference"
#: Options that every command takes.
COMMON = ("home", "as_json", "verbose", "help")
NOTE = "<!-- Written by `make docs`; change the code, not this page. -->\n\n"


def pages() -> dict[str, str]:
    """Return each page's text by file name."""
    return {
        "command-line.md": NOTE + command_line(),
        "project-file.md": NOTE + project_file(),
        "http.md": NOTE + http(),
    }


def command_line() -> str:
    """Return all commands with their options, and the exit codes."""
    group = LazyGroup(name="bessemer")
    parts = [
        "# The command line\n\nEvery command takes `--help`, `--home` (the home folder, else"
        " `$BESSEMER_HOME`, else `.bessemer`), `--json` (one document on stdout) and `-v` (traces"
        " of errors). `bessemer --install-completion` adds completion to your shell.\n"
    ]
    for name in COMMANDS:
        command = group.get_command(None, name)
        inner = getattr(command, "commands", None)
        for sub, one in (inner or {"": command}).items():
            title = f"bessemer {name} {sub}".rstrip()
            parts.append(f"## `{title}`\n\n{' '.join((one.help or '').split())}\n")
            rows = [_parameter(p) for p in one.params if p.name not in COMMON]
            if rows:
                parts.append(_table(("", "", "default"), rows))
    codes = {0: "Done.", BUG: "A bug in Bessemer.", GATE_FAILED: "The gate let nothing pass."}
    codes |= {code: _first_line(kind) for kind, code in reversed(EXIT_CODES)}
    codes[INTERRUPTED] = "Interrupted; run the same command again to go on."
    rows = [(str(code), about) for code, about in sorted(codes.items())]
    return "\n".join([*parts, "## Exit codes\n", _table(("code", "means"), rows)])


def _parameter(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    else:
        names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    default = parameter.default
    shown = "" if default in (None, False, "") or parameter.required else f"`{default}`"
    return names, " ".join((parameter.help or "").split()), shown


def project_file() -> str:
    """Return every key of the project file."""
    parts = [
        "# The project file\n\n`bessemer check --explain` shows the same for your file, with the"
        " value in force and the line it comes from. `bessemer schema` prints the JSON Schema.\n",
        _table(("key", "default", "meaning"), list(_keys(Project, ""))),
    ]
    parts += [
        "## `gate`\n\nWhat may stand under a condition's subject; [the gate](../howto/gate.md) says"
        " which goes with which.\n",
        _table(("key", "default", "meaning"), list(_keys(Threshold, ""))),
    ]
    for name in METHODS.names():
        part = METHODS.load(name)
        parts.append(f"## `train.method: {name}`\n\n{_first_line(part)}\n")
        parts.append(_table(("key", "default", "meaning"), list(_keys(part.Options, "train."))))
    return "\n".join(parts)


def _keys(block: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in block.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, f"{prefix}{name}.")
        else:
            about = f"{field.description or ''} {_allowed(kind)}".strip()
            yield f"`{prefix}{name}`", _default(field), about.replace("<", "\\<")
        for inner in get_args(kind) if get_origin(kind) is tuple else ():
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _keys(inner, f"{prefix}{name}[].")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def _allowed(kind: Any) -> str:
    kinds = [kind, *get_args(kind)]
    kind = next((one for one in kinds if get_origin(one) is Literal), None)
    if kind is None:
        return ""
    return f"One of {', '.join(f'`{value}`' for value in get_args(kind))}."


def http() -> str:
    """Return every address with who may use it, the statuses and the metrics."""
    plane = DataPlane(
        snapshot=lambda: None,
        load=residents.load,
        record=lambda call: None,
        clock=utc_now,
        policy=LengthWindow(),
        threads=1,
    )
    app = api(cast(Platform, None), plane)
    rows = []
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            about = operation.get("description", "").split("\n\n")[0]
            role = "owner" if path.startswith(CONTROL) else "any key"
            rows.append((f"`{method.upper()} {path}`", role, " ".join(about.split())))
    statuses = [(str(http), f"`{grpc}`", _first_line(kind)) for kind, http, grpc in STATUS]
    counted = Metrics(plane)
    metrics = [(f"`{m.name}`", m.documentation) for m in counted.registry.collect()]
    rpcs = [
        (f"`{name}`", "owner" if rpc.control else "any key", _first_line(rpc.answer))
        for name, rpc in Rpcs(cast(Platform, None), plane, counted).table().items()
    ]
    return "\n".join(
        [
            "# HTTP\n\nEvery address but the console's needs a key: `Authorization: Bearer bsm_…`."
            ' The body of an error is `{"error": …, "error_type": …}`, under `/v1` `{"error":'
            ' {"message", "type", "param", "code"}}`. `/openapi.json` tells programs the same.\n',
            _table(("", "who", ""), rows),
            f"## gRPC\n\nWith `--grpc-port`: the rpcs of `{SERVICE}`, which need the same key in"
            " the metadata `authorization`.\n",
            _table(("", "who", ""), rpcs),
            "## The console\n\nPages for people, which need a session. Static files, under"
            " `/console/static/`, need none.\n",
            _table(("", "who", ""), _pages(plane)),
            "## Statuses of errors\n",
            _table(("HTTP", "gRPC", "when"), statuses),
            "## Metrics\n\nAt `/metrics`, for Prometheus.\n",
            _table(("metric", "meaning"), metrics),
        ]
    )


def _pages(plane: DataPlane) -> list[tuple[str, ...]]:
    rows = []
    for route in console.console(
        cast(Platform, None), plane, Sessions(plane), [(kind, http) for kind, http, _ in STATUS]
    ).routes:
        if isinstance(route, Route):
            who = "a session" if may("annotator", route.path) else "an owner's session"
            who = "anyone" if route.path == LOGIN else who
            method = min(route.methods or ())
            rows.append((f"`{method} {route.path}`", who, _first_line(route.endpoint)))
    return rows


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").split("\n")[0]


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + "\n"


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

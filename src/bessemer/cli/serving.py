"""`deploy` and `serve`."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from bessemer.cli.options import (
    HomeOption,
    JsonOption,
    VerboseOption,
    platform,
    print_json,
    show_deployed,
)
from bessemer.core.errors import needs
from bessemer.core.records import NewKey

app = typer.Typer(rich_markup_mode=None)


def _policies() -> list[str]:
    from bessemer.serve.policies import POLICIES

    return [*POLICIES]


@app.command()
def deploy(
    release: Annotated[
        str, typer.Argument(help="As support-intents@3, or a project's name for its newest.")
    ],
    route: Annotated[str | None, typer.Option(help="Else the project's name.")] = None,
    canary: Annotated[
        float | None,
        typer.Option(help="Share of the callers who get it, as 0.1; others keep what is live."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Let a route serve a release; servers follow within a second."""
    show_deployed(platform(home).deploy(release, route, canary), as_json)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8080,
    grpc_port: Annotated[
        int | None, typer.Option(help="Port for gRPC, which is off without; 0 takes a free one.")
    ] = None,
    share_port: Annotated[
        bool,
        typer.Option(
            "--share-port", help="Let other servers listen there too, as in a rolling restart."
        ),
    ] = False,
    policy: Annotated[
        str,
        typer.Option(
            help="How waiting texts are put into batches: the others are there to be compared.",
            autocompletion=_policies,
        ),
    ] = "length-window",
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Serve all routes until SIGTERM; the first start prints an owner key."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s"
    )
    with needs("serve"):
        from bessemer.http import server
    opened = platform(home)
    bound = server.listen(host, port, shared=share_port)
    grpc = None
    if grpc_port is not None:
        grpc = server.listen(host, grpc_port, "--grpc-port", shared=share_port)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{bound.getsockname()[1]}"
    beside = None if grpc is None else f"{name}:{grpc.getsockname()[1]}"

    def announce(first: NewKey | None) -> None:
        routes = sorted({d.route for d in opened.deployments.list()})
        if as_json:
            key = first.secret if first else None
            print_json({"url": address, "grpc": beside, "routes": routes, "key": key})
        else:
            where = address if beside is None else f"{address}, gRPC at {beside}"
            typer.echo(f"serving {', '.join(routes) or 'no route yet'} at {where}")
            if first is not None:
                typer.echo(f"owner key, shown this once: {first.secret}")
        sys.stdout.flush()

    server.serve(opened, bound, announce, grpc, policy)

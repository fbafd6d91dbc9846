"""The command line: a table of commands, each loaded when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bessemer.core.version import VERSION

#: Command: (module under bessemer.cli, what the list of commands says).
COMMANDS = {
    "init": ("project", "Write a project file from what a table looks like."),
    "check": ("project", "Validate a project file and its data; nothing slow runs."),
    "inspect": ("labels", "Tell which labels of the data set are probably wrong."),
    "label": ("labels", "Choose what to label next, and put it up."),
    "schema": ("project", "Print the JSON Schema of the project file, for editors."),
    "run": ("chain", "Go from the table to a deployed release; reuse what is there."),
    "prepare": ("chain", "Run as far as the checked and split rows."),
    "train": ("chain", "Run as far as the weights."),
    "evaluate": ("chain", "Run as far as the report."),
    "release": ("chain", "Run as far as the signed release, and deploy nothing."),
    "compare": ("reports", "Hold two models against each other on the same test rows."),
    "deploy": ("serving", "Let a route serve a release."),
    "serve": ("serving", "Serve all routes over HTTP."),
    "runs": ("nouns", "List, show and compare runs."),
    "reports": ("reports", "Show reports, and write them as pages."),
    "datasets": ("datasets", "List, show, compare and export data sets."),
    "releases": ("nouns", "List, show and verify releases."),
    "deployments": ("nouns", "List deployments; promote, roll back, unload, load."),
    "aliases": ("nouns", "List, set and remove other names of routes."),
    "campaigns": ("campaigns", "Follow, close, open, guide labelling; export and import labels."),
    "keys": ("nouns", "Create, list and revoke API keys."),
}


class LazyGroup(TyperGroup):
    """Knows all commands by their line in the table; imports the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order of the chain."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command's module and return the command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"bessemer.cli.{COMMANDS[cmd_name][0]}")
        command: Any = typer.main.get_command(module.app)
        return getattr(command, "commands", {cmd_name: command})[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or name the nearest one."""
        if args and args[0] not in COMMANDS:
            from bessemer.core.errors import UnknownNameError

            raise UnknownNameError("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


app = typer.Typer(
    name="bessemer",
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bessemer {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a table of examples to a gated, signed, served model, and back."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; see `cli.errors.EXIT_CODES`."""
    try:
        code = app(arguments, prog_name="bessemer", standalone_mode=False)
    except typer.Exit as done:
        return done.exit_code
    except BaseException as error:
        from bessemer.cli.errors import told

        return told(error, arguments)
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()

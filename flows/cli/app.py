"""The `folio` command. An error that a user can act on is one message without a traceback; `--debug` shows the traceback."""

from __future__ import annotations

import atexit
import os
import platform
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, NoReturn

import typer

from flows.cli.commands.corpus import corpus_app
from flows.cli.commands.lineage import lineage_app
from flows.cli.commands.models import chat_app, generate_app, serve_app
from flows.cli.commands.push import card_app, push_app
from flows.cli.commands.recipe import recipe_app, recipes_app
from flows.cli.commands.run import run_app
from flows.cli.commands.runs import runs_app
from flows.cli.commands.upkeep import services_app, store_app
from flows.cli.signals import INTERRUPTED
from flows.services import servers

LIBRARIES = ("prefect", "mlflow", "duckdb", "torch", "deepspeed")


def show_version(wanted: bool) -> None:
    """Print the versions of folio, its code, Python and the libraries that matter most, and end the command."""
    if not wanted:
        return
    from tasks.stage.store.origin import git_state

    commit, dirty = git_state()
    code = f" (commit {commit[:12]}{', with changes' if dirty else ''})" if commit else ""
    print(f"folio {_version('folio')}{code}")
    print(", ".join([f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in LIBRARIES)]))
    raise typer.Exit


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


GROUPS = (run_app, chat_app, serve_app, generate_app, push_app, recipes_app, runs_app, lineage_app, card_app, store_app, services_app)


def settings(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="show versions and exit")] = False,
) -> None:
    """Turn a pile of books into a language model you can talk to, with an exact account of how it got there."""
    servers.configure()


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """Return the command line; if the first word is a command of a group, with that group alone, since building all takes a while."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(settings)
    named = [group for group in GROUPS if words and words[0] in _commands(group)]
    for group in named or GROUPS:
        app.add_typer(group)
    if not named:
        app.add_typer(recipe_app, name="recipe", rich_help_panel="Recipes")
        app.add_typer(corpus_app, name="corpus", rich_help_panel="Look inside")
    return app


def _commands(group: typer.Typer) -> set[str]:
    """Return the names of a group's commands."""
    return {typer.main.get_command_name(one.name or one.callback.__name__) for one in group.registered_commands if one.callback}


def main() -> NoReturn:
    """Run the `folio` command and end the process as the interpreter would, but without unloading native libraries.

    Their threads sometimes outlive the interpreter and abort it ("terminate called without an active exception", signal 6), after the
    command has done all its work.
    """
    try:
        run_command()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    threading._shutdown()  # type: ignore[attr-defined]  # wait for threads and executors, as the interpreter does first
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):  # the reader has left
            stream.flush()
    os._exit(code)


def asked_help(words: Sequence[str]) -> list[str]:
    """Return the words of a command with `help` and `-h` as the option that they mean: `help run` is `run --help`."""
    found = [*words[1:], "--help"] if words[:1] == ["help"] else list(words)
    # After an option that takes a value `-h` would be its value, so only the last word is taken for help.
    return [*found[:-1], "--help"] if found[-1:] == ["-h"] else found


def run_command() -> NoReturn:
    """Run the command in `sys.argv`; raise SystemExit with its exit code."""
    sys.argv[1:] = asked_help(sys.argv[1:])
    try:
        sys.exit(command_line(sys.argv[1:])(prog_name="folio", standalone_mode=False) or 0)
    except typer.Abort:  # Ctrl-C in a command that needs no cleanup
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        from flows.cli.usage import usage_error
        from tasks.stage.system.explanations import explain, is_server_away

        misused = usage_error(error)
        if misused is None and "--debug" in sys.argv:
            raise
        message, code = misused or (explain(error), 1)
        if message:
            print(f"folio: {message}", file=sys.stderr, flush=True)
        if is_server_away(error):
            # Prefect would spend minutes trying to reach a server that isn't there.
            sys.stdout.flush()
            os._exit(code)
        raise SystemExit(code) from None


if __name__ == "__main__":
    main()

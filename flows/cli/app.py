"""The `folio` command. An error that a user can act on is one message without a traceback; `--debug` shows the traceback."""

from __future__ import annotations

import atexit
import os
import platform
import re
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from flows.cli.commands import uncollected
from flows.cli.signals import INTERRUPTED
from flows.services import servers
from tasks.stage.system.command_line import did_you_mean, program
from tasks.stage.system.explanations import explain, is_server_away

WRONG_USAGE = 2
# Options of other tools -> what does the same here.
ELSEWHERE = {
    "--dry-run": "folio plan RECIPE shows what a run would do, and changes nothing",
    "--gpu": "a GPU is used if PyTorch sees one; folio doctor says whether it does",
    "--gpus": "--set resources.training.parallel.workers=2 trains on two; folio doctor says what is there",
    "--device": "a GPU is used if PyTorch sees one; folio doctor says whether it does",
    "--resume": "the same command goes on where the last run ended",
    "--force": "--refresh STAGE runs a stage again; what did not change is never made again otherwise",
    "--epochs": "--set pretrain.tokens=2000000 says how much is read; folio size RECIPE says how often that is",
    "--lr": "--set pretrain.learning_rate=0.001 sets it for pretraining, sft.learning_rate for tuning",
    "--learning-rate": "--set pretrain.learning_rate=0.001 sets it for pretraining, sft.learning_rate for tuning",
    "--steps": "--set pretrain.tokens=2000000 says how much is read, sft.steps=100 how long tuning is",
    "--batch-size": "--set pretrain.global_batch=32 sets the rows of a step; resources.training.micro_batch those computed at once",
    "--config": "the recipe is named without an option: folio run my_books/recipe.yaml",
    "--output": "FOLIO_HOME=DIR or store in the recipe says where all goes; folio runs shows where it is",
    "-v": "folio --version shows versions, folio --debug COMMAND tracebacks",
    "--verbose": "folio --debug COMMAND shows tracebacks; folio logs RECIPE what a run said",
    "--debug": "it stands before the command: folio --debug COMMAND",
}
# Commands of other tools -> the one that does the same here.
COMMANDS_ELSEWHERE = {
    "train": "folio run RECIPE",
    "start": "folio run RECIPE",
    "build": "folio run RECIPE",
    "resume": "folio run RECIPE, which goes on where the last run ended",
    "new": "folio init FOLDER",
    "list": "folio recipes, or folio runs",
    "ls": "folio recipes, or folio runs",
    "models": "folio runs, and folio chat RECIPE for one of them",
    "version": "folio --version",
    "show": "folio report RUN, or folio corpus show DOCUMENT",
    "clean": "folio gc",
    "test": "folio doctor for this machine, folio report RUN for a model",
    "ask": "folio chat RECIPE --ask QUESTION",
    "export": "folio push RECIPE FOLDER",
    "why": "folio plan RECIPE, or folio corpus why DOCUMENT OTHER",
}
# What the parser says of a value -> what it should say.
WORDS = {
    r"valid number.*": "needs a number, such as 0.5",
    r"valid float.*": "needs a number, such as 0.5",
    r"valid integer.*": "needs a whole number, such as 8",
    r"(?:Value error, )?'[^']*' is not one of (.*?)\.?$": r"choose one of \1",
    r"greater than or equal to (\S+)": r"must be at least \1",
    r"less than or equal to (\S+)": r"must be at most \1",
}
LIBRARIES = ("prefect", "mlflow", "duckdb", "torch", "deepspeed")


def show_version(wanted: bool) -> None:
    """Print the versions of folio, its code, Python and the libraries that matter most, and end the command."""
    if not wanted:
        return
    from tasks.stage.store.origin import git_state  # takes a tenth of a second, for this option alone

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


class Listed(NamedTuple):
    """A command as `folio --help` lists it. `module`: the file of `flows.cli.commands` that defines it."""

    module: str
    panel: str
    help: str


# The first sentence of each command's own help: to import them all for a list takes seconds.
COMMANDS = {
    "run": Listed("run", "Make a model", "Run a recipe: the stages that changed, and no others."),
    "plan": Listed("run", "Make a model", "Show what a run would do, stage by stage, and why."),
    "refresh": Listed("run", "Make a model", "Run a recipe with one stage run again."),
    "approve": Listed("run", "Make a model", "Approve the verdict of a gate that passed and asks a person, so the next run continues."),
    "accept": Listed("run", "Make a model", "Vouch that a change does not alter a stage's output, instead of running the stage again."),
    "chat": Listed("models", "Make a model", "Talk to a model."),
    "serve": Listed(
        "models", "Make a model", "Serve models on this machine: an OpenAI-compatible API under /v1, and a page to talk to them at /."
    ),
    "generate": Listed("models", "Make a model", "Answer a file of prompts."),
    "push": Listed("push", "Make a model", "Send a released model to a model hub or to a folder."),
    "recipes": Listed("recipe", "Recipes", "List the recipes that come with folio."),
    "init": Listed(
        "recipe", "Recipes", "Look at a folder of your own texts, time this machine, write a recipe that fits both, and say what to expect."
    ),
    "size": Listed(
        "recipe",
        "Recipes",
        "Propose a model size for a corpus and a machine: memory, time, cost, and warnings if it is too big or too small.",
    ),
    "recipe": Listed("recipe", "Recipes", "Show, compare and describe recipes."),
    "runs": Listed("runs", "Runs", "List the runs of a store: when they began, how they ended, and what they made or reused."),
    "status": Listed("runs", "Runs", "Show what is running: every live run with its progress, or one run; and the servers."),
    "stop": Listed("runs", "Runs", "Stop a live run at its next checkpoint, and wait until it has."),
    "logs": Listed("runs", "Runs", "Print what a run has said, with times in UTC."),
    "report": Listed("runs", "Look inside", "Print how a run ended: its verdict, its gates, how good its model is, and where its page is."),
    "lineage": Listed("lineage", "Look inside", "Show what made a thing, or what was made from it."),
    "takedown": Listed(
        "lineage", "Look inside", "List everything that holds a document, inside the store and out, and the steps that remove it."
    ),
    "compare": Listed("lineage", "Look inside", "Show what differed between two runs, and what that changed."),
    "card": Listed(
        "push",
        "Look inside",
        "Print a release's model card: what its export wrote, with its evaluation, gates, decisions of people and cost.",
    ),
    "corpus": Listed("corpus", "Look inside", "Look at what happened to every document and every piece of text."),
    "judgements": Listed("corpus", "Look inside", "Show what people judged, how far they agree, and how models rate by it."),
    "search": Listed("corpus", "Look inside", "Find the passages of a recipe's documents that answer a question, by words and by meaning."),
    "gc": Listed("store", "Look after", "List what no kept run and no registered model needs, or delete it."),
    "verify": Listed("store", "Look after", "Read every file in the store again and name what is damaged."),
    "sync": Listed("store", "Look after", "Bring MLflow and Prefect up to date with a store's runs."),
    "open": Listed("services", "Look inside", "Open folio's page in a browser: runs, what they made, and how good it is."),
    "up": Listed(
        "services", "Look after", "Start folio's page, the Prefect server and the MLflow page on this machine, if they are not running."
    ),
    "down": Listed("services", "Look after", "Stop the servers that `folio up` or `folio run` started."),
    "doctor": Listed("services", "Look after", "Look at this machine: versions, ports, disk, memory, accelerators."),
    "env": Listed("services", "Look after", "Print the settings that let `prefect` and `mlflow` find this home."),
}


class CommandTable(TyperGroup):
    """The commands of `COMMANDS`: listed without importing any, and imported once one is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands.update(
            {name: TyperCommand(name, help=listed.help, rich_help_panel=listed.panel) for name, listed in COMMANDS.items()}
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the arguments name, imported, and the arguments that are left for it."""
        name, _, rest = super().resolve_command(ctx, args)
        return (name, load_command(name), rest) if name is not None else (None, None, rest)


def load_command(name: str) -> Any:
    """Import the module of a command and return the command."""
    with uncollected():
        module = import_module(f"flows.cli.commands.{COMMANDS[name].module}")
    return typer.main.get_group(module.app).commands[name]


def settings(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="show versions and exit")] = False,
) -> None:
    """Turn a pile of books into a language model you can talk to, with an exact account of how it got there."""
    servers.configure()


def command_line() -> typer.Typer:
    """Return the command line."""
    app = typer.Typer(cls=CommandTable, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(settings)
    return app


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
        sys.exit(command_line()(prog_name="folio", standalone_mode=False) or 0)
    except typer.Abort:  # Ctrl-C in a command that needs no cleanup
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
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


def usage_error(error: Exception) -> tuple[str, int] | None:
    """Return the message and the exit code for an error of the command line's parser; None for any other error."""
    wording: Any = getattr(error, "format_message", None)
    if wording is None:
        return None
    context: Any = getattr(error, "ctx", None)
    if context is None or type(error).__name__ == "NoArgsIsHelpError":
        return wording(), WRONG_USAGE  # the help that a group shows by itself leaves nothing to say
    where = context.command_path.removeprefix("folio").strip()
    said = _unknown_command(error) or _unknown_option(error, context) or _wrong_words(error) or _wrong_value(error) or wording()
    ended = said if said.endswith((".", "?")) else f"{said}."
    return f"{where}{': ' if where else ''}{ended} See: {' '.join(filter(None, (program(), where, '--help')))}", WRONG_USAGE


def _unknown_command(error: Exception) -> str:
    found = re.match(r"No such command '(.*?)'", str(getattr(error, "message", "")))
    meant = COMMANDS_ELSEWHERE.get(found[1], "") if found else ""
    return f"There is no command {found[1]!r}; use {meant}" if found and meant else ""


def _wrong_words(error: Exception) -> str:
    """Say which argument is missing, or which word is one too many."""
    if type(error).__name__ == "MissingParameter" and (parameter := getattr(error, "param", None)) and parameter.opts[-1][:1] != "-":
        return f"{(parameter.metavar or parameter.name).upper()} is missing"
    more = re.match(r"Got unexpected extra argument\(?s?\)? \((.*)\)", str(getattr(error, "message", "")))
    return f"it takes no further word, and {more[1]!r} follows; put a name that holds spaces in quotes" if more else ""


def _unknown_option(error: Exception, context: Any) -> str:
    if type(error).__name__ != "NoSuchOption":
        return ""
    unknown: str = getattr(error, "option_name", "")
    known = [name for parameter in context.command.params for name in (*parameter.opts, *parameter.secondary_opts) if name[:1] == "-"]
    if unknown in ELSEWHERE and unknown not in known:
        return f"{unknown} is not an option; {ELSEWHERE[unknown]}"
    return f"{unknown} is not an option{did_you_mean(unknown, known)}"


def _wrong_value(error: Exception) -> str:
    """Return what an option's or an argument's value should be, with the value that was given."""
    parameter: Any = getattr(error, "param", None)
    message = str(getattr(error, "message", ""))
    for pattern, words in WORDS.items():
        if parameter is not None and (found := re.search(pattern, message)):
            name = parameter.opts[-1] if parameter.opts[-1][:1] == "-" else parameter.human_readable_name
            return f"{name}{_given(name)}: {found.expand(words) if found.groups() else words}"
    return ""


def _given(name: str) -> str:
    """Return the last value that the command line gives an option, behind a space; "" if it can't be told."""
    values = [value for option, value in zip(sys.argv, sys.argv[1:], strict=False) if option == name]
    values += [word.partition("=")[2] for word in sys.argv if word.startswith(f"{name}=")]
    return f" {values[-1]}" if values else ""


if __name__ == "__main__":
    main()

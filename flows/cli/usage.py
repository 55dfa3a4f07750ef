"""A command line that can't be understood, answered in one message: what is wrong, what may have been meant, and where it is explained."""

from __future__ import annotations

import re
import sys
from typing import Any

from tasks.stage.system.command_line import did_you_mean, program

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
    "--verbose": "folio --debug COMMAND shows tracebacks; folio logs RECIPE what a run said",
    "--debug": "it stands before the command: folio --debug COMMAND",
}
# What the parser says of a value -> what it should say.
WORDS = {
    r"valid number.*": "needs a number, such as 0.5",
    r"valid float.*": "needs a number, such as 0.5",
    r"valid integer.*": "needs a whole number, such as 8",
    r"greater than or equal to (\S+)": r"must be at least \1",
    r"less than or equal to (\S+)": r"must be at most \1",
}


def usage_error(error: Exception) -> tuple[str, int] | None:
    """Return the message and the exit code for an error of the command line's parser; None for any other error."""
    wording: Any = getattr(error, "format_message", None)
    if wording is None:
        return None
    context: Any = getattr(error, "ctx", None)
    if context is None or type(error).__name__ == "NoArgsIsHelpError":
        return wording(), WRONG_USAGE  # the help that a group shows by itself leaves nothing to say
    where = context.command_path.removeprefix("folio").strip()
    said = _unknown_option(error, context) or _wrong_value(error) or wording()
    ended = said if said.endswith((".", "?")) else f"{said}."
    return f"{where}{': ' if where else ''}{ended} See: {' '.join(filter(None, (program(), where, '--help')))}", WRONG_USAGE


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

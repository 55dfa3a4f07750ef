"""A command line that can't be understood, answered in one message: what is wrong, what may have been meant, and where it is explained."""

from __future__ import annotations

import re
import sys
from typing import Any

from tasks.stage.system.command_line import did_you_mean, program

WRONG_USAGE = 2
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

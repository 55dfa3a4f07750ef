"""Carry errors from one process to another: described as plain data, and rebuilt from it.

Nothing is unpickled. The rebuilt error has the class, the message and the notes of the first, so its handler sees no
difference; its cause is a `BodyTraceback`, the traceback as text, which also says whether the fault is transient. A class that can't be
made from the arguments of its error (or is not importable) is replaced by a subclass of it, or of its nearest base, with the same name and
message.
"""

from __future__ import annotations

import importlib
import json
import traceback
from typing import Any

from tasks.stage.execution.bodies.transient import is_transient


class BodyTraceback(Exception):
    """Where an error was raised in the process that executed a stage. `transient`: whether its fault may pass by itself."""

    def __init__(self, text: str, transient: bool = False) -> None:
        super().__init__(text, transient)
        self.transient = transient

    def __str__(self) -> str:
        """Return the traceback."""
        return f"\n{self.args[0]}"


def describe(error: BaseException) -> dict[str, Any]:
    """Return an error as plain data."""
    arguments = list(error.args)
    if isinstance(error, OSError) and error.filename is not None and len(arguments) == 2:
        arguments.append(error.filename)
    return {
        "classes": [[kind.__module__, kind.__qualname__] for kind in type(error).__mro__[:-1]],
        "arguments": arguments if _is_plain(arguments) else None,
        "message": str(error),
        "notes": [str(note) for note in getattr(error, "__notes__", ())],
        "traceback": "".join(traceback.format_exception(error)),
        "transient": is_transient(error),
    }


def rebuild(description: dict[str, Any]) -> BaseException:
    """Return the error that was described, its traceback as its cause."""
    error = _made(description)
    for note in description["notes"]:
        error.add_note(note)
    error.__cause__ = BodyTraceback(description["traceback"], description["transient"])
    return error


def _made(description: dict[str, Any]) -> BaseException:
    message, arguments = description["message"], description["arguments"]
    for number, (module, qualname) in enumerate(description["classes"]):
        kind = _find(module, qualname)
        if kind is None:
            continue
        if number == 0 and arguments is not None and (same := _same(kind, arguments, message)) is not None:
            return same
        if (stand_in := _stand_in(kind, description["classes"][0], message)) is not None:
            return stand_in
    return RuntimeError(message)


def _stand_in(kind: type[BaseException], name: list[str], message: str) -> BaseException | None:
    """Return an error of a subclass of `kind` named like another class; None if `kind` can't be subclassed."""
    module, qualname = name
    try:
        named: type[BaseException] = type(qualname.rpartition(".")[2], (kind,), {"__str__": lambda self: message, "__module__": module})
        error = named.__new__(named, message)
    except TypeError:
        return None
    error.args = (message,)
    return error


def imported(module: str, qualname: str) -> Any:
    """Return what a module has under a name. Raises ImportError or AttributeError."""
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def _find(module: str, qualname: str) -> type[BaseException] | None:
    try:
        found = imported(module, qualname)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _same(kind: type[BaseException], arguments: list[Any], message: str) -> BaseException | None:
    """Return the error made from its arguments, if it then says the same."""
    try:
        error = kind(*arguments)
    except Exception:  # noqa: BLE001  # the constructor takes other arguments
        return None
    return error if str(error) == message else None


def _is_plain(value: object) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False

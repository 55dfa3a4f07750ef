"""Carry errors from one process to another, as plain data, and tell transient faults from permanent ones.

Nothing is unpickled. The rebuilt error has the class, the message and the notes of the first, so its handler sees no
difference; its cause is a `BodyTraceback`, the traceback as text, which also says whether the fault is transient. A class that can't be
made from the arguments of its error (or is not importable) is replaced by a subclass of it, or of its nearest base, with the same name and
message.

Transient are time-outs, broken and refused connections, and answers by which a server or an object store says that it is overloaded or
failing (408, 425, 429, 500, 502, 503, 504, and S3's throttling errors). The whole chain of causes is checked, since a stage words an
error of a network library in its own terms. Everything else is permanent: a wrong recipe, a failed gate, a missing file, a full disk, and a
process that was killed, which usually lacked memory.
"""

from __future__ import annotations

import http.client
import importlib
import json
import traceback
import urllib.error
from collections.abc import Iterator, Mapping
from typing import Any

STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
CODES = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)
KINDS = (TimeoutError, ConnectionError, http.client.IncompleteRead, http.client.RemoteDisconnected)
NAMES = frozenset(
    {
        "aiohttp.client_exceptions.ClientConnectionError",
        "aiohttp.client_exceptions.ClientPayloadError",
        "azure.core.exceptions.ServiceRequestError",
        "azure.core.exceptions.ServiceResponseError",
        "botocore.exceptions.ConnectionError",
        "botocore.exceptions.ConnectTimeoutError",
        "botocore.exceptions.HTTPClientError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "urllib3.exceptions.ProtocolError",
        "urllib3.exceptions.TimeoutError",
    }
)
"""Errors of libraries that need not be installed, so they are known by name."""


def is_transient(error: BaseException) -> bool:
    """Return whether running the same again may succeed: whether the error, or what caused it, is a fault that passes by itself."""
    return any(_passes(one) for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _passes(error: BaseException) -> bool:
    if getattr(error, "transient", False) is True or isinstance(error, KINDS):
        return True
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException) and _passes(error.reason):
        return True
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return bool(names & NAMES) or not STATUSES.isdisjoint(_statuses(error)) or _code(error) in CODES


def _statuses(error: BaseException) -> set[int]:
    """Return the HTTP statuses that an error of a network library carries, wherever that library puts them."""
    response = getattr(error, "response", None)
    places = [getattr(error, name, None) for name in ("status", "status_code", "code")]
    places += [getattr(response, name, None) for name in ("status", "status_code")]
    if isinstance(response, Mapping):
        places.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return {int(place) for place in places if isinstance(place, int) or (isinstance(place, str) and place.isdigit())}


def _code(error: BaseException) -> str:
    """Return what S3 calls the error; "" for an error of anything else."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, Mapping) else ""


class BodyTraceback(Exception):
    """The place in a stage's process where an error was raised. `transient`: whether its fault may pass by itself."""

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

"""Tell transient faults from permanent ones.

Transient are time-outs, broken and refused connections, and answers by which a server or an object store says that it is overloaded or
failing (408, 425, 429, 500, 502, 503, 504, and S3's throttling errors). The whole chain of causes is checked, since a stage words an
error of a network library in its own terms. Everything else is permanent: a wrong recipe, a failed gate, a missing file, a full disk, and a
process that was killed, which usually lacked memory.
"""

from __future__ import annotations

import http.client
import urllib.error
from collections.abc import Iterator, Mapping

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

"""Errors as OpenAI's API words them: status, message, type, parameter and code."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError


class ApiError(Exception):
    """A request that can't be answered, and why."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.headers = status, param, code, headers or {}

    def body(self) -> dict[str, Any]:
        """Return the answer's JSON."""
        return error_body(self.status, str(self), self.param, self.code)


# Parameters of other servers that ask for the likeliest replies as wholes.
BEAMS = frozenset({"best_of", "num_beams", "beams", "beam_width", "use_beam_search", "length_penalty", "early_stopping"})
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return the JSON of an error."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def busy(message: str, seconds: int = 1) -> ApiError:
    """Return the error of a full queue."""
    return ApiError(429, message, code="queue_full", headers={"Retry-After": str(seconds)})


def from_validation(error: ValidationError) -> ApiError:
    """Return the first fault of a request's fields, by name, value and reason."""
    wrong = error.errors(include_url=False)[0]
    # The location also names branches of unions, in words that don't occur in requests.
    place = [str(part) for part in wrong["loc"] if isinstance(part, int) or str(part).isidentifier()]
    param = ".".join(part for part in place if part not in ("str", "int", "float", "bool", "is_instance")) or None
    if wrong["type"] == "extra_forbidden" and param in BEAMS:
        said = f"{param}: beam search is not offered by this API, where replies are drawn; leave it out, or use: folio generate --beams N"
        return ApiError(400, said, param=param, code="unsupported_parameter")
    if wrong["type"] == "extra_forbidden":
        name = str(wrong["loc"][-1])
        param = param if name.isidentifier() else ".".join([*place, repr(name[:80])])
        return ApiError(400, f"{param} is not offered here, or not a parameter; leave it out", param=param, code="unknown_parameter")
    if wrong["type"] in ("json_invalid", "json_type"):
        return ApiError(400, f"the body is not JSON: {wrong['ctx'].get('error', wrong['msg']) if 'ctx' in wrong else wrong['msg']}")
    return ApiError(400, f"{param or 'the body'}: {wrong['msg'].removeprefix('Value error, ')}", param=param, code="invalid_value")

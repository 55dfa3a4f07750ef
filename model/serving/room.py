"""What one request may ask of a server, whoever computes the model."""

from __future__ import annotations

from model.serving.errors import ApiError
from model.serving.limits import ServeLimits
from model.serving.schema import Generating


def longest_reply(asked: Generating, prompts: int, longest: int | None, limits: ServeLimits) -> int:
    """Return the most tokens of each reply, `longest` if it is given. Raise ApiError for more replies or tokens than the limits allow."""
    if asked.n > limits.choices or asked.n * prompts > limits.rows + limits.waiting:
        most = min(limits.choices, (limits.rows + limits.waiting) // prompts)
        raise ApiError(400, f"n={asked.n} for {prompts} prompts is more than this server writes at once, {most}", param="n")
    if longest is not None and longest > limits.max_tokens:
        raise ApiError(400, f"max_tokens={longest} is more than this server's {limits.max_tokens}", param="max_tokens")
    return longest or limits.max_tokens

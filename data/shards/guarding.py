"""Strings that must stay text although a template is rendered around them: each is hidden behind a number, and put back afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

BEGIN, END = "\ue002", "\ue003"
"""Characters for private use, which mark the two sides of a generation block."""
# Likewise, on both sides of a number. They are hidden themselves where a text holds them.
OPEN, CLOSE = "\ue004", "\ue005"
_HIDDEN = re.compile(f"{OPEN}(\\d+){CLOSE}")


class Guard:
    """The names of special tokens, which are plain text inside messages; `more`: other strings to keep from the template."""

    def __init__(self, names: Iterable[str], more: Iterable[str] = ()) -> None:
        self._names = (*sorted(names, key=len, reverse=True), OPEN, CLOSE, *more)
        self._found = re.compile("|".join(map(re.escape, self._names)))

    def hide(self, value: Any) -> Any:
        """Return a value with the names in its strings, and in the keys of its objects, replaced by placeholders."""
        if isinstance(value, str):
            return self._found.sub(lambda found: f"{OPEN}{self._names.index(found.group())}{CLOSE}", value)
        if isinstance(value, dict):
            return {self.hide(name): self.hide(inner) for name, inner in value.items()}
        return [self.hide(inner) for inner in value] if isinstance(value, list | tuple) else value

    def hide_in(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return a message with all but its role hidden."""
        return {name: inner if name == "role" else self.hide(inner) for name, inner in message.items()}

    def restore(self, text: str) -> str:
        """Return a text with the names back in their places."""
        return _HIDDEN.sub(lambda found: self._names[int(found.group(1))], text)

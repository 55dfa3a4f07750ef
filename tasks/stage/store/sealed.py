"""JSON files that end in a checksum of everything before it, so damage is always detected."""

from __future__ import annotations

import hashlib
import re

SEAL = re.compile(rb',\n "checksum": "([0-9a-f]{64})"\n}\Z')
END = b"\n}"


class BrokenSeal(ValueError):
    """A file's checksum does not match its content."""


def seal(text: str) -> bytes:
    """Return a JSON object, indented by one space, with the hex sha256 of its text as a last member `checksum`."""
    body = text.encode().removesuffix(END)
    return body + b',\n "checksum": "' + hashlib.sha256(body).hexdigest().encode() + b'"' + END


def unseal(content: bytes) -> tuple[bytes, bool]:
    """Return the JSON object without its checksum, and whether it had one. Raise BrokenSeal if the checksum does not match."""
    found = SEAL.search(content)
    if found is None:
        return content, False
    body = content[: found.start()]
    if hashlib.sha256(body).hexdigest().encode() != found[1]:
        raise BrokenSeal("its checksum does not match its content")
    return body + END, True

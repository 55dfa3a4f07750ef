"""Hashes of files that code reads: their bytes, except that of SQL neither comments nor white space count."""

from __future__ import annotations

import hashlib
import re

from tasks.stage.identity.tracing.facts import short_hash

SQL = re.compile(
    r"""
    (?P<text> [eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<blank> (?: --[^\n]* | /\*.*?\*/ | \s )+ )
    | (?P<part> \w+ | [(),;\[\]] | [^\w\s(),;\[\]'"$-]+ | . )
    """,
    re.DOTALL | re.VERBOSE,
)


def data_hash(path: str, content: bytes | None) -> str:
    """Return the hash of a file, "" if it is gone."""
    if content is None:
        return ""
    if path.endswith(".sql"):
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            return short_hash("\0".join(found[0] for found in SQL.finditer(text) if found["blank"] is None))
    return hashlib.sha256(content).hexdigest()[:24]

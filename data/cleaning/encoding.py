"""Mojibake, text that was decoded with the wrong encoding, repaired with ftfy; and HTML entities left over from web pages.

Only lines that look like mojibake or contain an entity are changed, and only if ftfy finds the decoding that explains them, or HTML defines
the entity; repairing a repaired line changes nothing. SQL finds the few suspicious lines, Python repairs each distinct one once (about
30,000 a second), and SQL applies the repairs. This is the one rule that SQL can't express.
"""

from __future__ import annotations

import html
import re

import duckdb

ENTITY = "&(?:#[0-9]{2,5}|[A-Za-z]{2,8});"
# What the first byte of a UTF-8 sequence looks like in Latin-1 or Windows-1252, followed by what its continuation bytes look like.
SUSPICIOUS = (
    "[\u00c2-\u00f4\u0102\u0103\u0110\u0111\u0160\u0161][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    "\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]|[\u00c3\u00c2][ ]|\u00ef\u00bf\u00bd|"
) + ENTITY
MAX_REPAIRS = 4


def find_mojibake(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill table mojibake (line, repaired) with the distinct lines of table suspects that can be repaired."""
    import pyarrow as pa

    connection.execute("CREATE OR REPLACE TEMP TABLE mojibake (line VARCHAR, repaired VARCHAR)")
    suspicious = connection.execute("SELECT DISTINCT line FROM suspects WHERE regexp_matches(line, ?)", [SUSPICIOUS]).fetchall()
    pairs = [(line, repair(line)) for (line,) in suspicious]
    changed = [pair for pair in pairs if pair[0] != pair[1]]
    if changed:
        repaired = pa.table({"line": [a for a, _ in changed], "repaired": [b for _, b in changed]})
        connection.register("repaired", repaired)
        connection.execute("INSERT INTO mojibake SELECT line, repaired FROM repaired")
        connection.unregister("repaired")


def repair(line: str) -> str:
    """Undo up to four successive wrong decodings of a line; a correct line is returned unchanged."""
    import ftfy

    for _ in range(MAX_REPAIRS):
        better = re.sub(ENTITY, lambda match: html.unescape(match.group()), ftfy.fix_encoding(line))
        if better == line or "\n" in better:
            break
        line = better
    return line

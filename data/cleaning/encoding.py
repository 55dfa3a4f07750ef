"""Mojibake: text that was written in one encoding and read in another, undone with ftfy; and entities left by web pages.

Guarantees: only a line that looks like mojibake or holds an entity is touched, and only when ftfy finds the decoding that
explains it, or HTML knows the entity; a repaired line repairs no further. SQL finds the few suspicious lines, each distinct
one is repaired once (about 30,000 a second), and a table of repairs goes back. This is the one rule that SQL can't express.
"""

from __future__ import annotations

import html
import re

import duckdb

ENTITY = "&(?:#[0-9]{2,5}|[A-Za-z]{2,8});"
# A letter that starts a misread UTF-8 sequence, before what its continuation bytes look like in Latin-1 or Windows-1252.
SUSPICIOUS = (
    "[\u00c2-\u00f4\u0102\u0103\u0110\u0111\u0160\u0161][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    "\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]|[\u00c3\u00c2][ ]|\u00ef\u00bf\u00bd|"
) + ENTITY
TIMES = 4


def find_mojibake(connection: duckdb.DuckDBPyConnection) -> None:
    """Fills table mojibake(line, repaired) for the distinct lines of table suspects that can be repaired."""
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
    """The line as it was before it was misread, up to four times over; itself when nothing is wrong with it."""
    import ftfy

    for _ in range(TIMES):
        better = re.sub(ENTITY, lambda found: html.unescape(found.group()), ftfy.fix_encoding(line))
        if better == line or "\n" in better:
            break
        line = better
    return line

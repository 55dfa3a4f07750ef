"""Joins single exchanges into conversations of several, so that a model is used to what was said before.

Exchanges keep their order, and each stays in one conversation alone. One that is thought out ends its conversation, since chat shows a
model no earlier thoughts. What has more than one exchange already, or is long, is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Annotated

from pydantic import Field

from data.conversations.records import Row, read_rows, write_rows

Turns = Annotated[
    int,
    Field(
        ge=1,
        le=8,
        description="most exchanges of a conversation: single ones are joined into conversations of one up to that many, as people go on "
        "asking; validation keeps single ones; count",
    ),
]
CHARACTERS = 320  # of a joined conversation: about 100 tokens, which fit into the context of small models
SEVERAL = "several"


def join_exchanges(path: Path, turns: int, seed: int) -> float:
    """Rewrite a file of instructions with conversations of one up to `turns` exchanges; return its number of lines."""
    return write_rows(path, joined(read_rows(path), turns, seed))


def joined(rows: Iterable[Row], turns: int, seed: int) -> Iterator[Row]:
    """Yield rows of `messages`, `topic` and, where there are any, `books`, joined."""
    random = Random(f"turns:{seed}")
    open_rows, wanted = list[Row](), random.randint(1, turns)
    for row in rows:
        if not _is_exchange(row):
            yield row
            continue
        if open_rows and sum(map(_characters, open_rows)) + _characters(row) > CHARACTERS:
            yield _together(open_rows)
            open_rows, wanted = [], random.randint(1, turns)
        open_rows.append(row)
        if len(open_rows) == wanted or row["messages"][-1].get("thinking"):
            yield _together(open_rows)
            open_rows, wanted = [], random.randint(1, turns)
    if open_rows:
        yield _together(open_rows)


def _together(rows: list[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    topics = {row["topic"] for row in rows}
    books = {book for row in rows for book in row.get("books", ())}
    messages = [message for row in rows for message in row["messages"]]
    topic = topics.pop() if len(topics) == 1 else SEVERAL
    return {"messages": messages, "topic": topic, **({"books": sorted(books)} if any("books" in row for row in rows) else {})}


def _is_exchange(row: Row) -> bool:
    return [message["role"] for message in row["messages"]] == ["user", "assistant"]


def _characters(row: Row) -> int:
    return sum(len(message["content"]) + len(message.get("thinking") or "") for message in row["messages"])

"""Single exchanges are joined into conversations: each stays once, in order, and none becomes long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from data.conversations.records import CHARACTERS, join_exchanges, joined

TEXTS = st.text(alphabet="ab ", min_size=1, max_size=CHARACTERS)


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 20))):
        said: dict[str, str] = {"role": "assistant", "content": draw(TEXTS)}
        if draw(st.booleans()):
            said["thinking"] = draw(TEXTS)
        messages = [{"role": "user", "content": str(number)}, said] * draw(st.sampled_from([1, 1, 1, 2]))
        found.append({"messages": messages, "topic": draw(st.sampled_from("xy")), "books": [f"book {number % 3}"]})
    return found


@given(rows(), st.integers(2, 6), st.integers(0, 9))
def test_each_exchange_stays_once_and_in_order(given_rows: list[dict[str, Any]], turns: int, seed: int) -> None:
    singles = [row for row in given_rows if len(row["messages"]) == 2]
    others = [row for row in given_rows if len(row["messages"]) != 2]
    result = list(joined(given_rows, turns, seed))
    assert [row for row in result if row in others] == others
    conversations = [row for row in result if row not in others]
    assert [message for row in conversations for message in row["messages"]] == [m for row in singles for m in row["messages"]]
    for row in conversations:
        assert len(row["messages"]) <= 2 * turns
        assert not any("thinking" in message for message in row["messages"][:-1])
        size = sum(len(message["content"]) + len(message.get("thinking", "")) for message in row["messages"])
        assert size <= CHARACTERS or len(row["messages"]) == 2
        parts = [single for single in singles if single["messages"][0] in row["messages"]]
        assert row["books"] == sorted({book for part in parts for book in part["books"]})
        assert row["topic"] == (parts[0]["topic"] if len({part["topic"] for part in parts}) == 1 else "several")


def test_short_exchanges_become_conversations_of_all_lengths_and_equal_seeds_equal_bytes(tmp_path: Path) -> None:
    said = {"role": "assistant", "content": "Yes.\u2028Or no\x85."}  # Unicode's line ends are no ends of a line here
    lines = [{"messages": [{"role": "user", "content": str(number)}, said], "topic": "x"} for number in range(200)]
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / name
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        assert join_exchanges(path, 4, seed) == path.read_text().count("\n")
        made.append(path.read_text())
    assert made[0] == made[1] != made[2]
    assert {len(json.loads(line)["messages"]) for line in made[0].rstrip("\n").split("\n")} >= {2, 4, 6, 8}
    assert "books" not in made[0]

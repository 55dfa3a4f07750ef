"""The public shapes: what a record of each holds, and what is said of one that holds nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from data.conversations.read import kind_of, read_record, title_of, transcript
from data.conversations.shapes.messages import ShapeError
from data.conversations.shapes.registry import SHAPES

ASKED = {"role": "user", "content": "Who sat?"}
TOLD = {"role": "assistant", "content": "The cat."}
CALL = {"type": "function", "function": {"name": "find", "arguments": {"what": "cat"}}}
WRITTEN = '{"name": "find", "arguments": {"what": "cat"}}'
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
PAIR = {"messages": [ASKED], "chosen": "The cat.", "rejected": "A dog."}
RECORDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("openai", {"messages": [ASKED, TOLD], "id": 7}, {"messages": [ASKED, TOLD]}),
    ("openai", {"messages": [{"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
                             ASKED, TOLD]},
     {"messages": [{"role": "system", "content": "Be brief."}, ASKED, TOLD]}),
    ("openai", {"messages": [ASKED, {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"what": "cat"}'}}]},
        {"role": "tool", "tool_call_id": "1", "content": "cat"}, {**TOLD, "weight": 1}], "tools": [TOOL]},
     {"messages": [ASKED, {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [CALL]},
                   {"role": "tool", "content": "cat"}, {**TOLD, "weight": 1}], "tools": [TOOL]}),
    ("sharegpt", {"system": "Be brief.", "conversations": [{"from": "human", "value": "Who sat?"}, {"from": "gpt", "value": "The cat."}]},
     {"messages": [{"role": "system", "content": "Be brief."}, ASKED, TOLD]}),
    ("sharegpt", {"conversations": [{"from": "human", "value": "Who sat?"}, {"from": "function_call", "value": WRITTEN},
                                    {"from": "observation", "value": "cat"}, {"from": "gpt", "value": "The cat."}],
                  "tools": json.dumps([TOOL])},
     {"messages": [ASKED, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "cat"}, TOLD],
      "tools": [TOOL]}),
    ("alpaca", {"instruction": "Who sat?", "input": "", "output": "The cat."}, {"messages": [ASKED, TOLD]}),
    ("alpaca", {"instruction": "Who?", "input": "A cat sat.", "output": "The cat.", "history": [["Who sat?", "The cat."]], "system": "S"},
     {"messages": [{"role": "system", "content": "S"}, ASKED, TOLD, {"role": "user", "content": "Who?\n\nA cat sat."}, TOLD]}),
    ("completion", {"prompt": "Who sat?", "completion": "The cat."}, {"messages": [ASKED, TOLD]}),
    ("completion", {"prompt": [ASKED, TOLD, ASKED], "completion": [TOLD]}, {"messages": [ASKED, {**TOLD, "weight": 0}, ASKED, TOLD]}),
    ("preference", {"prompt": "Who sat?", "chosen": "The cat.", "rejected": "A dog.", "label": None}, PAIR),
    ("preference", {"chosen": [ASKED, TOLD], "rejected": [ASKED, {**TOLD, "content": "A dog."}]}, PAIR),
    ("preference", {"conversations": [{"from": "human", "value": "Who sat?"}], "chosen": {"from": "gpt", "value": "The cat."},
                    "rejected": {"from": "gpt", "value": "A dog."}}, PAIR),
    ("preference", {"instruction": "Who sat?", "input": None, "chosen": "The cat.", "rejected": "A dog."}, PAIR),
    ("labelled", {"prompt": [ASKED], "completion": [TOLD], "label": 1}, {"messages": [ASKED], "completion": "The cat.", "label": True}),
    ("labelled", {"messages": [ASKED, TOLD], "kto_tag": False}, {"messages": [ASKED], "completion": "The cat.", "label": False}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "record", "expected"), RECORDS)
def test_a_record_is_known_by_its_fields_and_gives_one_schema(shape: str, record: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read_record(record, "auto") == read_record(record, shape) == expected  # type: ignore[arg-type]
    assert next(name for name, module in SHAPES.items() if module.fits({k: v for k, v in record.items() if v is not None})) == shape


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"text": "Once."}, "unknown shape: its fields text"),
        ({"messages": []}, "messages is not a list"),
        ({"messages": [ASKED]}, "the last message is not the assistant's"),
        ({"messages": [ASKED, {**TOLD, "weight": 0}]}, "nothing to learn"),
        ({"messages": [{"role": "oracle", "content": "x"}]}, "role is 'oracle'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, TOLD]}, "part of type 'image_url'"),
        ({"messages": [ASKED, {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}]}, "names no function"),
        (
            {"messages": [ASKED, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]},
            "arguments of a tool call",
        ),
        ({"messages": [ASKED, {"role": "assistant", "content": "\ud800"}]}, "content is not text"),
        ({"messages": [ASKED, TOLD], "tools": "find"}, "tools is text that isn't JSON"),
        ({"prompt": "x", "chosen": "a", "rejected": "a"}, "chosen and rejected are the same"),
        (
            {"prompt": "x", "chosen": [{"role": "assistant", "content": "", "tool_calls": [CALL]}], "rejected": "a"},
            "not a single text answer",
        ),
        ({"prompt": "x", "completion": "a", "label": "maybe"}, "neither true nor false"),
        ({"instruction": "x", "output": "y", "history": "z"}, "history is text that isn't JSON"),
    ],
)
def test_a_record_without_a_conversation_says_why(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(ShapeError, match=reason):
        read_record(record, "auto")


def test_a_record_of_another_shape_than_the_source_names_is_refused() -> None:
    with pytest.raises(ShapeError, match="not of shape alpaca: its fields are messages"):
        read_record({"messages": [ASKED, TOLD]}, "alpaca")


def test_the_text_of_a_conversation_holds_all_its_words_below_their_roles() -> None:
    told = read_record(RECORDS[2][1], "auto")
    assert transcript(told).split("\n\n")[1:] == [
        "user:\nWho sat?", 'assistant:\nHm.\n{"name": "find", "arguments": {"what": "cat"}}', "tool:\ncat", "assistant:\nThe cat.",
    ]  # fmt: skip
    assert transcript(PAIR).endswith("chosen:\nThe cat.\n\nrejected:\nA dog.")
    labelled = read_record(RECORDS[-1][1], "auto")
    assert transcript(labelled) == "user:\nWho sat?\n\nundesirable:\nThe cat."
    assert [kind_of(value) for value in (told, PAIR, labelled)] == ["instructions", "preferences", "labels"]
    assert title_of(told) == "Who sat?"

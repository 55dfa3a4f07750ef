"""The public shapes: what a record of each holds, and what is said of one that holds nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from data.conversations.records import kind_of, read_record, title_of, transcript
from data.conversations.shapes import SHAPES, ShapeError

ASKED = {"role": "user", "content": "Who sat?"}
TOLD = {"role": "assistant", "content": "The cat."}
SYSTEM = {"role": "system", "content": "S"}
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
    ("preference", {"prompt": "Who sat?", "chosen": [ASKED, TOLD], "rejected": [ASKED, {**TOLD, "content": "A dog."}]}, PAIR),
    ("preference", {"prompt": "Who sat?", "system": "S", "chosen": [ASKED, TOLD], "rejected": [ASKED, {**TOLD, "content": "A dog."}]},
     {**PAIR, "messages": [SYSTEM, ASKED]}),
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
    "record",
    [
        {"messages": [ASKED, TOLD]},
        {"conversations": [ASKED, TOLD]},
        {"instruction": "Who sat?", "output": "The cat."},
        {"prompt": "Who sat?", "completion": "The cat."},
        {"prompt": "Who sat?", "chosen": "The cat.", "rejected": "A dog."},
        {"chosen": [ASKED, TOLD], "rejected": [ASKED, {**TOLD, "content": "A dog."}]},
        {"messages": [ASKED, TOLD], "label": True},
    ],
    ids=str,
)
def test_a_system_field_comes_first_whatever_the_shape(record: dict[str, Any]) -> None:
    plain, told = read_record(record, "auto"), read_record({**record, "system": "S"}, "auto")
    assert told == plain | {"messages": [SYSTEM, *plain["messages"]]}


def test_what_the_messages_say_themselves_of_the_system_stays() -> None:
    record = {"messages": [SYSTEM, ASKED, TOLD]}
    assert read_record({**record, "system": "Another."}, "auto") == record


def test_a_refusal_is_what_the_assistant_said() -> None:
    told = read_record({"messages": [ASKED, {"role": "assistant", "content": None, "refusal": "I can't say."}]}, "auto")
    assert told["messages"][1] == {"role": "assistant", "content": "I can't say."}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"instruction": "Who sat?", "output": ""}, "an answer is empty"),
        ({"messages": [ASKED, {**TOLD, "content": " \n"}, ASKED, TOLD]}, "an answer is empty"),
        ({"prompt": "Who sat?", "chosen": "", "rejected": "A dog."}, "chosen is empty"),
        ({"prompt": "Who sat?", "completion": "", "label": True}, "completion is empty"),
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

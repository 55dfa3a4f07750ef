"""`folio init` tells conversations from texts, and records whose text it can't find from both."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.examples.config import ConversationExamples
from data.sources.config import ConversationFiles, FilesSource
from data.sources.files import find_files, survey
from flows.recipe.initialize import SOURCE, write_recipe
from flows.recipe.loading import load
from flows.recipe.record_files import look_at_records
from flows.recipe.validation import RecipeError
from tests.flows.recipe.machines import MACHINE_AT_HAND
from tests.flows.recipe.test_initialize import NAMES, library

ASKED, SAID = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}
SHAPES: dict[str, Mapping[str, Any]] = {
    "openai": {"messages": [ASKED, SAID]},
    "alpaca": {"instruction": "Who?", "input": "", "output": "Me."},
    "pair": {"prompt": "Who?", "chosen": "Me.", "rejected": "You."},
}


def _jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(("shape", "ending"), [("openai", "jsonl"), ("alpaca", "csv"), ("pair", "parquet")])
def test_conversations_are_named_counted_and_no_texts(tmp_path: Path, shape: str, ending: str) -> None:
    rows, chats = [SHAPES[shape]] * 300, tmp_path / f"chats.{ending}"
    if ending == "jsonl":
        _jsonl(chats, rows)
    elif ending == "parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), chats)
    else:
        with chats.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    said = write_recipe(library(tmp_path, NAMES), machine=MACHINE_AT_HAND)
    assert f"conversations in chats.{ending} are not used; start from an open model" in said
    assert f"{len(NAMES)} texts, " in said
    recipe = load(str(tmp_path))
    (source,) = recipe.ingest.sources
    assert isinstance(source, FilesSource) and set(find_files(source, Path(recipe.root))) == set(NAMES)


def test_texts_in_the_format_of_the_conversations_are_read_too(tmp_path: Path) -> None:
    _jsonl(tmp_path / "chats.jsonl", [SHAPES["openai"]] * 5)
    _jsonl(tmp_path / "letters.jsonl", [{"text": "It was a dark night. " * 500}] * 5)
    write_recipe(library(tmp_path, NAMES), machine=MACHINE_AT_HAND)
    recipe = load(str(tmp_path))
    sources = [source for source in recipe.ingest.sources if isinstance(source, FilesSource)]
    assert {name for source in sources for name in find_files(source, tmp_path)} == {*NAMES, "letters.jsonl"}


def test_packed_conversations_are_no_texts_and_texts_packed_alike_are(tmp_path: Path) -> None:
    lines = "".join(json.dumps(SHAPES["openai"]) + "\n" for _ in range(300)).encode("utf-8")
    for name, packed in {"chats.jsonl.gz": gzip.compress(lines), "chats.jsonl.XZ": lzma.compress(lines)}.items():
        (tmp_path / name).write_bytes(packed)
    (tmp_path / "letters.txt.gz").write_bytes(gzip.compress(b"It was a dark night. " * 5000))
    (tmp_path / "broken.jsonl.gz").write_bytes(gzip.compress(lines)[:40])
    said = write_recipe(library(tmp_path, NAMES), machine=MACHINE_AT_HAND)
    assert "conversations in chats.jsonl.XZ, chats.jsonl.gz are not used" in said
    recipe = load(str(tmp_path))
    sources = [source for source in recipe.ingest.sources if isinstance(source, FilesSource)]
    assert {name for source in sources for name in find_files(source, tmp_path)} == {*NAMES, "letters.txt.gz", "broken.jsonl.gz"}


def test_a_glob_of_packed_conversations_holds_no_packed_texts(tmp_path: Path) -> None:
    lines = (json.dumps(SHAPES["openai"]) + "\n").encode("utf-8") * 50
    for number in range(3):
        (tmp_path / f"chats{number}.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "letters.txt.gz").write_bytes(gzip.compress(b"It was a dark night. " * 5000))
    records = look_at_records(survey(SOURCE, tmp_path, empty=True).files)
    assert isinstance(records.examples, ConversationExamples)
    (source,) = records.examples.sources
    assert isinstance(source, ConversationFiles)
    assert set(find_files(source, tmp_path)) == {f"chats{number}.jsonl.gz" for number in range(3)}


def test_a_folder_of_conversations_alone_is_refused_with_the_way_out(tmp_path: Path) -> None:
    _jsonl(tmp_path / "chats.jsonl", [SHAPES["openai"]] * 5)
    with pytest.raises(RecipeError, match=r"about 5 conversations in chats.jsonl: a model is tuned on them once it knows texts; add some"):
        write_recipe(tmp_path, machine=MACHINE_AT_HAND)


def test_records_without_a_text_are_named_with_their_fields(tmp_path: Path) -> None:
    _jsonl(tmp_path / "notes.jsonl", [{"id": 1, "body": "It was a dark night."}] * 5)
    _jsonl(tmp_path / "right.jsonl", [{"id": 1, "text": "It was a dark night."}] * 5)
    said = write_recipe(tmp_path, machine=MACHINE_AT_HAND)
    assert "mind: the records of notes.jsonl have no field `text` and will be set aside; their fields are id, body" in said
    assert "right.jsonl" not in said


def test_half_an_emoji_in_a_file_of_records_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "Half an emoji: \\ud83d."}\n' * 3, encoding="utf-8")
    write_recipe(library(tmp_path, NAMES), machine=MACHINE_AT_HAND)
    (source,) = load(str(tmp_path)).ingest.sources
    assert isinstance(source, FilesSource) and "texts.jsonl" in find_files(source, Path(load(str(tmp_path)).root))

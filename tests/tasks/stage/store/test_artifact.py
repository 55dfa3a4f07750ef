"""The digest of a record depends on names and contents alone, and a part depends only on the files it holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.stage.store.artifact import Artifact, content_digest, list_files
from tests.tasks.records import artifact, written

NAMES = st.text("abc", min_size=1, max_size=3)
CONTENTS = st.dictionaries(st.tuples(NAMES, NAMES).map("/".join) | NAMES.map("{}.x".format), st.binary(max_size=9), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(contents=CONTENTS, shuffled=st.randoms())
def test_the_digest_is_independent_of_place_order_and_time(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes], shuffled: Random
) -> None:
    names = list(contents)
    shuffled.shuffle(names)
    here = list_files(written(tmp_path_factory.mktemp("here"), contents))
    there = list_files(written(tmp_path_factory.mktemp("there"), {name: contents[name] for name in names}))
    assert here == there
    assert content_digest(here) == content_digest(reversed(there))


@settings(max_examples=40, deadline=None)
@given(contents=CONTENTS, other=CONTENTS)
def test_different_names_or_contents_have_different_digests(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes], other: dict[str, bytes]
) -> None:
    digests = [content_digest(list_files(written(tmp_path_factory.mktemp("d"), files))) for files in (contents, other)]
    assert (digests[0] == digests[1]) == (contents == other)


def test_logs_are_kept_and_checked_but_change_no_digest(tmp_path: Path) -> None:
    quiet = artifact(written(tmp_path / "a", {"x": b"1"}))
    noisy = artifact(written(tmp_path / "b", {"x": b"1", "logs/out.txt": b"took 3 s"}))
    assert quiet.digest == noisy.digest
    assert [file.path for file in noisy.files] == ["logs/out.txt", "x"]


def test_a_part_changes_only_with_the_files_below_it(tmp_path: Path) -> None:
    before = artifact(written(tmp_path / "a", {"sft/rows": b"1", "sft_more/rows": b"1", "dpo": b"1"}))
    after = artifact(written(tmp_path / "b", {"sft/rows": b"1", "sft_more/rows": b"2", "dpo": b"2"}))
    assert before.part("sft").digest == after.part("sft").digest
    assert before.part("sft_more").digest != after.part("sft_more").digest
    assert before.part("dpo").digest != after.part("dpo").digest
    assert before.part("dpo").reference().part == "dpo"


@pytest.mark.parametrize("prefix", ["missing.txt", "logs", "logs/out.txt"])
def test_a_part_without_files_that_count_is_refused_and_says_what_there_is(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(KeyError, match=r"has no file at .* that counts; it has \['logs/out.txt', 'x'\]"):
        artifact(written(tmp_path, {"x": b"1", "logs/out.txt": b"took 3 s"})).part(prefix)


def test_a_record_is_plain_json_and_reads_back_equal_with_numbers_that_json_lacks(tmp_path: Path) -> None:
    made = artifact(written(tmp_path, {"x": b"1"}), metrics={"loss": math.inf, "accuracy": 0.25})
    text = made.model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert Artifact.model_validate_json(text) == made
    diverged = artifact(written(tmp_path, {"x": b"1"}), metrics={"loss": math.nan})
    assert math.isnan(Artifact.model_validate_json(diverged.model_dump_json()).metrics["loss"])


def test_a_record_cannot_be_changed_or_carry_what_nobody_knows(tmp_path: Path) -> None:
    made = artifact(written(tmp_path, {"x": b"1"}))
    with pytest.raises(ValidationError, match="frozen"):
        made.key = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="extra"):
        Artifact.model_validate({**made.model_dump(), "surprise": 1})

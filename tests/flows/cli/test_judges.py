"""`folio chat --best-of`: options that don't fit are named, and a judge is a folder or what the release was made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.chat_models import judge_directory
from flows.cli.chat_session import talk

DRAWN = {"temperature": 0.8, "top_k": None, "top_p": None, "max_new_tokens": 8}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a model, without a record."""
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_options_that_choose_nothing_are_refused(folder: Path) -> None:
    for best_of, judge, temperature, message in (
        (0, None, 0.8, "--best-of 0: must be at least 1"),
        (1, "reward", 0.8, "--judge reward chooses among several replies; give --best-of 4 too"),
        (4, None, 0.0, "--best-of 4 needs replies that differ, and --temperature 0 draws nothing"),
    ):
        with pytest.raises(ValueError, match=message):
            talk(str(folder), None, {**DRAWN, "temperature": temperature}, None, "Who?", best_of=best_of, judge=judge)


def test_a_judge_is_a_folder_with_heads_and_a_model_of_unknown_making_has_none(folder: Path, tmp_path: Path) -> None:
    judge = tmp_path / "judge"
    judge.mkdir()
    (judge / "heads.safetensors").write_bytes(b"")
    assert judge_directory(folder, str(judge)) == judge
    with pytest.raises(LookupError, match="has not one reward model: it was made with none; give --judge the name of one, or its folder"):
        judge_directory(folder, None)
    with pytest.raises(LookupError, match="has no reward model 'other'"):
        judge_directory(folder, "other")

"""The end of a run shows what the model wrote, and nothing that a terminal would obey."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from flows.cli.approving import way_out
from flows.cli.run import beginnings, conversation
from flows.recipe.loading import load
from tasks.reporting.gates import gate_text
from tests.flows.cli.test_printed_commands import commands_in
from tests.tasks.records import artifact, written


def test_what_a_model_wrote_is_shown_without_control_characters(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A\x1b[2Jcat."}]
    samples = [{"kind": "beginning", "text": "A\x07 cat."}, {"kind": "conversation", "set": "heldout", "messages": messages}]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples), encoding="utf-8")
    shown = [*beginnings(tmp_path), *conversation(tmp_path)]
    assert [line.strip() for line in shown if "cat" in line] == ["A␇ cat.", "assistant A␛[2Jcat."]


@pytest.mark.parametrize("width", ["60", "200"])
def test_a_gate_that_fails_for_what_tuning_cost_says_so_and_names_replay(monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    row = ("chat.val.bits_per_byte", "1.9", "<= 1.25 x base.val.bits_per_byte", "-0.65", "FAILED: is out of bounds")
    said = " ".join(way_out(load("rewarded"), "rewarded", "gate.chat", gate_text([row]), {}).split())
    assert "tuning undid part of what pretraining had learned" in said and "tuning[0].replay=0.25" in said and "--unreleased" in said
    assert "tuning undid" not in way_out(load("rewarded"), "rewarded", "gate.chat", gate_text([(*row[:4], "passed")]), {})


FAILED = {
    "gate.corpus": ("corpus.documents_kept", "3", ">= 4", "-1", "FAILED: is out of bounds"),
    "gate.base": ("base.val.bits_per_byte", "1.9", "beats baseline.ngram: 1.8", "-0.1", "FAILED: is out of bounds"),
    "gate.chat": ("chat.val.bits_per_byte", "1.9", "<= 1.25 x base.val.bits_per_byte", "-0.65", "FAILED: is out of bounds"),
    "gate.release": ("release.test.bits_per_byte", "9", "<= 8", "-1", "FAILED: is out of bounds"),
}


def proposals(tmp_path: Path, recipe: str, position: str, *changes: str) -> list[list[str]]:
    """The words of each command that is proposed after a gate has failed."""
    made = {"pretrain": artifact(written(tmp_path / "made", {"model": b"weights"}), stage="pretrain", seconds=60)}
    said = way_out(load(recipe, changes), recipe, position, gate_text([FAILED[position]]), made, changes)
    return [words for words in commands_in(said) if words]


def set_in(words: list[str]) -> tuple[str, ...]:
    """The changes in a command."""
    return tuple(change for option, change in pairwise(words) if option == "--set")


@pytest.mark.parametrize("position", FAILED)
@pytest.mark.parametrize("recipe", ["universe", "four_books", "rewarded", "reasoner", "constitution", "adapters", "arena", "digits"])
def test_a_recipe_accepts_every_command_that_is_proposed_after_its_gate_failed(tmp_path: Path, recipe: str, position: str) -> None:
    changes = ("seed=7", "pretrain.learning_rate=0.0012")
    found = proposals(tmp_path, recipe, position, *changes)
    ran = [words for words in found if words[0] == "run"]
    assert ran and len(found) > len(ran)
    for words in ran:
        assert set_in(words)[:2] == changes, "what the run had been given is kept"
        load(words[1], set_in(words))


def test_training_for_longer_is_proposed_in_the_unit_that_the_recipe_counts_in(tmp_path: Path) -> None:
    assert set_in(proposals(tmp_path, "four_books", "gate.base")[0]) == ("pretrain.steps=300",)
    assert set_in(proposals(tmp_path, "four_books", "gate.base", "pretrain.steps=20", "seed=2")[0]) == ("seed=2", "pretrain.steps=40")
    tokens = load("universe").pretrain.tokens
    assert set_in(proposals(tmp_path, "universe", "gate.base")[0]) == (f"pretrain.tokens={2 * tokens}",)


def test_what_cannot_be_replayed_is_tuned_in_smaller_steps(tmp_path: Path) -> None:
    replayed = proposals(tmp_path, "universe", "gate.chat", "sft.replay=0.5", "dpo.replay=0.5")[0]
    assert set_in(replayed)[-1].startswith("tuning[0].learning_rate=")


def test_a_renamed_run_is_looked_at_under_its_new_name_and_in_its_store(tmp_path: Path) -> None:
    store = str(tmp_path / "elsewhere")
    found = proposals(tmp_path, "four_books", "gate.chat", "name=other", f"store={store}")
    assert ["chat", "other", "--store", store, "--unreleased"] in found


def test_another_recipe_of_a_folder_is_written_beside_the_one_that_is_there(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"extends: four_books\nname: mine\nroot: {Path('flows/recipe').resolve()}\n")
    found = proposals(tmp_path, str(recipe), "gate.base")
    written = [str(tmp_path / name) for name in ("opened.yaml", "counts.yaml")]
    assert [(words[1], words[-1]) for words in found if words[0] == "init"] == [(str(tmp_path), path) for path in written]

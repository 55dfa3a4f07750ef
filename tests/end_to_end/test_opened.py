"""A run that starts from an open model: its tokenizer and template, more reading by an adapter, tuning, a release that others open."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model.networks.directory import load_model
from tests.end_to_end.conftest import FinishedRun, run_at_home
from tests.model.opening.tiny import CHATML, WORDS, write_llama

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def opened(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home of its own, from a model of random weights."""
    folder = tmp_path_factory.mktemp("opened")
    shutil.copyfile(Path(__file__).with_name("opened.yaml"), folder / "opened.yaml")
    write_llama(folder / "llama")
    (folder / "general").mkdir()
    for number in range(8):
        (folder / "general" / f"{number}.txt").write_text(f"Chapter {number}.\n\n" + WORDS.replace("cat", f"cat {number}")[: 1500 + number])
    with run_at_home(str(folder / "opened.yaml"), tmp_path_factory.mktemp("home")) as finished:
        yield finished


def test_more_reading_helps_with_the_books_and_is_measured_beside_the_model_as_it_was(opened: FinishedRun) -> None:
    before, after = (opened.artifacts[f"evaluate.{name}"].metrics for name in ("opened", "base"))
    assert after["val.universe.bits_per_byte"] < 0.95 * before["val.universe.bits_per_byte"]
    assert before["val.general.rows"] > 0 and before["val.universe.rows"] + before["val.general.rows"] == before["val.rows"]


def test_the_model_keeps_its_tokenizer_template_and_terms(opened: FinishedRun) -> None:
    release, own = opened.folder("export"), Path(opened.recipe.root) / "llama"
    assert (release / "tokenizer.json").read_bytes() == (own / "tokenizer.json").read_bytes()
    assert (release / "chat_template.jinja").read_text() == CHATML
    card = (release / "README.md").read_text()
    assert 'license: "apache-2.0"' in card and "It was made from llama" in card


def test_transformers_opens_the_release_with_the_same_logits_and_prompt(opened: FinishedRun) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    release = opened.folder("export")
    theirs, words = AutoModelForCausalLM.from_pretrained(release).eval(), AutoTokenizer.from_pretrained(release)
    ids = words.apply_chat_template([{"role": "user", "content": "Who are you?"}], add_generation_prompt=True, return_dict=True)[
        "input_ids"
    ]
    with torch.no_grad():
        reference = theirs(torch.tensor([ids])).logits
        torch.testing.assert_close(load_model(release).logits({"tokens": torch.tensor([ids])}), reference, atol=1e-5, rtol=1e-5)
    assert json.loads((release / "generation_config.json").read_text())["eos_token_id"] == [2, 0]

"""Sampled texts: each depends on its beginning, its number and the seed alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from model.inference.config import SamplingConfig
from model.inference.generation import sample_texts

CONFIG = SamplingConfig(temperature=1.0, top_p=0.95, max_new_tokens=20)
BEGINNINGS = ("Ada walked", "Bruno", "")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, model_dir: Path, tokenizer_dir: Path) -> Path:
    """A model and its tokenizer in one directory, as in an export."""
    folder = tmp_path_factory.mktemp("release") / "model"
    shutil.copytree(model_dir, folder)
    shutil.copytree(tokenizer_dir, folder, dirs_exist_ok=True)
    return folder


def test_a_text_does_not_depend_on_other_texts_or_on_threads(release: Path) -> None:
    together = list(sample_texts(release, BEGINNINGS, 3, CONFIG, seed=5))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        backwards = [list(sample_texts(release, (beginning,), 2, CONFIG, seed=5)) for beginning in reversed(BEGINNINGS)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert [together[:2], together[3:5], together[6:8]] == list(reversed(backwards))


def test_samples_differ_start_with_their_beginning_and_follow_the_seed(release: Path) -> None:
    texts = list(sample_texts(release, BEGINNINGS, 4, CONFIG, seed=5))
    assert len(set(texts)) == 12 and all(text.startswith(BEGINNINGS[number // 4]) for number, text in enumerate(texts))
    assert texts == list(sample_texts(release, BEGINNINGS, 4, CONFIG, seed=5))
    assert texts != list(sample_texts(release, BEGINNINGS, 4, CONFIG, seed=6))
    assert not any(text.endswith("\ufffd") for text in texts)


def test_a_beginning_that_fills_the_context_is_named(release: Path) -> None:
    with pytest.raises(ValueError, match=r"beginning 2 \('Ada Ada .*'\): a prompt of .* cannot be continued"):
        list(sample_texts(release, ("Ada", "Ada " * 400), 1, CONFIG))

"""A counted model is made of packed rows in one pass, costs what the baseline costs, and is released and talked to like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from data.shards.ngrams import kneser_ney, read_targets
from data.shards.reader import ShardReader
from model.evaluation.config import EvaluateConfig
from model.evaluation.evaluate import evaluate
from model.evaluation.loss import evaluate_loss
from model.inference.chat import ChatModel
from model.inference.config import SamplingConfig
from model.inference.embed import embed
from model.inference.open_model import open_model
from model.networks.config import NgramConfig
from model.networks.directory import ModelError, load_model
from model.networks.ngram import count_model
from model.quantization.config import quantize
from model.quantization.integers import Int8Config
from model.release.config import ExportConfig
from model.release.export import export
from model.serving.opening import Offer, open_served
from model.serving.served import ServeLimits
from model.training.config import PretrainConfig, SftConfig
from model.training.job import Job
from tests.model.conftest import CONTEXT
from tests.model.release.test_export import CARD, MESSAGES

ORDER = 4
NGRAM = NgramConfig(order=ORDER, context=CONTEXT)


@pytest.fixture(scope="module")
def counted(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counted")
    metrics = count_model(NGRAM, packed, folder)
    train = ShardReader(packed / "train")
    assert (metrics["rows"], metrics["rows_counted"], metrics["targets"]) == (len(train), len(train), train.metadata.targets)
    return folder


@pytest.fixture(scope="module")
def release(counted: Path, tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    assert export(counted, tokenizer_dir, folder, ExportConfig(format="folio"), CARD)["logits_difference"] == 0
    return folder


def test_unseen_rows_cost_what_they_cost_the_baseline(counted: Path, packed: Path) -> None:
    train, val = (ShardReader(packed / split) for split in ("train", "val"))
    targets = [read_targets(reader, np.arange(len(reader))) for reader in (train, val)]
    nats = kneser_ney(*targets, vocab_size=val.metadata.vocab_size, order=ORDER, beginning=val.metadata.begin)
    assert evaluate_loss(load_model(counted), packed / "val").metrics["loss"] == pytest.approx(nats.mean(), rel=1e-5)


def test_the_same_rows_give_the_same_bytes_and_a_limit_counts_fewer(counted: Path, packed: Path, tmp_path: Path) -> None:
    count_model(NGRAM, packed, tmp_path / "again")
    for name in ("model.safetensors", "config.json", "history.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (counted / name).read_bytes()
    assert (counted / "history.jsonl").read_bytes() == b""
    fewer = count_model(NGRAM.model_copy(update={"most_tokens": 5 * CONTEXT}), packed, tmp_path / "fewer")
    assert fewer["rows_counted"] == 5 < fewer["rows"]


def test_it_is_evaluated_released_and_talked_to(release: Path, packed: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    config = EvaluateConfig(splits=("val",), questions=False, copying=True, copy_prompts=4, copy_prompt_tokens=4, copy_tokens=8)
    measured = evaluate(release, tokenizer_dir, packed, None, tmp_path, config, threads=1)
    assert 0 < measured["val.bits_per_byte"] < 4 and measured["copying.count"] == 4
    samples = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert any(sample["kind"] == "beginning" and sample["text"].strip() for sample in samples)
    said = "".join(ChatModel.open(release).stream(MESSAGES, SamplingConfig(max_new_tokens=12)))
    assert said.strip()
    stored = load_file(release / "model.safetensors")
    assert all(not tensor.is_floating_point() for tensor in stored.values()), "counts are not rounded"


def test_it_is_served_for_writing_and_embeds_nothing(release: Path) -> None:
    served = open_served(Offer("counted", release), ServeLimits())
    try:
        assert [*served.about.abilities] == ["chat", "completions"]
    finally:
        served.close()
    with pytest.raises(ValueError, match="kind=ngram has no hidden vectors, so it embeds no texts"):
        embed(open_model(release).decoding(), [[5, 6, 7]])


def test_what_needs_weights_is_refused_by_name(counted: Path, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="kind=ngram, which holds counts, and nothing rounds those"):
        quantize(counted, tmp_path / "int8", Int8Config())
    common = {"vocab_size": 320, "tokenizer_digest": "0", "train_shards": packed, "output": tmp_path, "checkpoints": tmp_path}
    for train in (PretrainConfig(precision="fp32"), SftConfig()):
        with pytest.raises(ValidationError, match="needs a network that supports gradients, and kind=ngram does not"):
            Job(network=NGRAM, train=train, **common)

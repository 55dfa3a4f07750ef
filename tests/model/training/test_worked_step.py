"""A worked example: the right word has probability 0.05, a loss of 3.0 nats; one step makes it more probable."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import TOKENIZER_DIGEST, save_model
from model.training.distributed import import_deepspeed, join
from model.training.job import Job
from tests.model.jobs import DIGEST, JobMaker, write_shards

from .alone import ALONE

WORDS = 20
SENTENCE = [3, 14, 15, 9, 2]
"""Four words, and the one to be predicted."""
SHAPE = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=64, context=4, tied_embeddings=False)


def undecided() -> Decoder:
    """A decoder that gives each of twenty words the probability 0.05."""
    decoder = Decoder(SHAPE, WORDS, seed=1)
    assert decoder.lm_head is not None
    torch.nn.init.zeros_(decoder.lm_head.weight)
    return decoder


def probability(decoder: Decoder) -> float:
    with torch.no_grad():
        return float(decoder.eval().logits({"tokens": torch.tensor([SENTENCE[:-1]])})[0, -1].softmax(-1)[SENTENCE[-1]])


@pytest.fixture
def job(make_job: JobMaker, tmp_path: Path) -> Job:
    """Two updates on the sentence, of which only the last word counts."""
    row = np.array([SENTENCE])
    columns = {"tokens": row.astype(np.uint16), "document": np.zeros_like(row, dtype=np.uint16), "loss": row == SENTENCE[-1]}
    save_model(undecided(), tmp_path / "undecided", extra={TOKENIZER_DIGEST: DIGEST})
    base = make_job(resources={"micro_batch": 1}, steps=2, global_batch=1, warmup_steps=0, eval_rows=0)
    return base.model_copy(
        update={
            "network": SHAPE,
            "vocab_size": WORDS,
            "initial_model": tmp_path / "undecided",
            "train_shards": write_shards(tmp_path / "sentence", "pretrain", columns, WORDS),
            "val_shards": None,
        }
    )


def test_probability_a_twentieth_costs_three_nats_and_one_step_raises_it(job: Job, tmp_path: Path) -> None:
    import_deepspeed()
    join(ALONE)
    from model.training.trainer import Trainer

    assert probability(undecided()) == pytest.approx(0.05)
    trainer = Trainer(job, ALONE)
    units, _, micro_batches = trainer.batches.step(0)
    assert units == {"tokens": 1}
    before = float(trainer.engine.update(micro_batches, units).sums[0])
    assert before == pytest.approx(-math.log(0.05), abs=1e-6) and round(before, 1) == 3.0
    taught = undecided()
    taught.load_state_dict(trainer.engine.weights())
    after = probability(taught)
    assert after > 0.05
    second = float(trainer.engine.update(micro_batches, units).sums[0])
    assert second == pytest.approx(-math.log(after), abs=1e-5) and second < before

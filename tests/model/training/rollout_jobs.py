"""Small jobs whose rows are replies that the model samples itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Any

import pytest

from model.inference.chat_format import ChatFormat
from model.networks.directory import TOKENIZER_DIGEST, save_model
from model.networks.network import Network
from model.training.config import GrpoConfig, TrainResources
from model.training.job import Job
from model.training.kinds.sampled import SampledConfig
from model.training.resources import ParallelConfig

RolloutJobMaker = Callable[..., Job]
FIELDS = {"steps": 6, "global_batch": 8, "learning_rate": 1e-3, "warmup_steps": 1, "scale": "batch"}
# A cycle of 16 replies, learned from twice in updates of 8: 4 updates, so a job of 6 makes two cycles.
ROLLOUTS = {"prompts": 4, "group": 4, "inner_epochs": 2, "max_new_tokens": 8}
# What a random model says now and then: single letters, and words that its vocabulary holds whole.
WORDS = [*ascii_lowercase, *digits, "walked", "from", "to", "on", "day", "in", "hand", "lait"]


@pytest.fixture
def make_rollout_job(decoder: Network, chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path) -> RolloutJobMaker:
    """A job of a few steps; keyword arguments change the fields of its kind, `rollouts` and `resources` (of `parallel`, too)."""
    model = tmp_path / "model"
    save_model(decoder, model, extra={TOKENIZER_DIGEST: chat_format.digest})
    questions = tmp_path / "questions.jsonl"
    names = ("Ada", "Bruno", "Clara", "Dorian", "Avel", "Brin", "Corve")
    lines = [{"question": f"Who is {name}?", "answers": WORDS, "fact": name} for name in names]
    questions.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def make(
        name: str = "run",
        resources: dict[str, Any] | None = None,
        rollouts: dict[str, Any] | None = None,
        kind: type[SampledConfig] = GrpoConfig,
        judge: Path | None = None,
        **train: Any,
    ) -> Job:
        options = dict(resources or {})
        parallel = {key: options.pop(key) for key in ParallelConfig.model_fields if key in options}
        fields = {key: value for key, value in FIELDS.items() if key in kind.model_fields}
        return Job(
            network=decoder.config,
            vocab_size=decoder.vocab_size,
            train=kind(**{**fields, "rollouts": {**ROLLOUTS, **(rollouts or {})}, **train}),
            seed=5,
            tokenizer_digest=chat_format.digest,
            resources=TrainResources(**{"threads": 1, "micro_batch": 4, "checkpoint_every_steps": 3, "parallel": parallel, **options}),
            questions=questions,
            tokenizer=tokenizer_dir,
            initial_model=model,
            reward_model=judge,
            output=tmp_path / name / "output",
            checkpoints=tmp_path / name / "checkpoints",
        )

    return make

"""Losses of preferences against TRL's own trainers on the same batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.inference.chat_format import ChatFormat
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from model.objectives.dpo import Dpo
from model.objectives.kto import Kto, exchange_answers
from model.objectives.reference_free import Orpo, Simpo
from tests.model.objectives.preference_rows import Rows, labelled_rows, pair_rows
from tests.model.objectives.test_preferences import CONTEXT, SHAPE, AnyObjective, loss_of

SIDES = ("chosen", "rejected")
OBJECTIVES = [
    pytest.param(Dpo(0.3), id="dpo"),
    pytest.param(Dpo(0.05, "hinge"), id="hinge"),
    pytest.param(Dpo(0.3, "ipo"), id="ipo"),
    pytest.param(Kto(0.2, 1.5, 0.7), id="kto"),
    pytest.param(Orpo(0.3, prompts=True), id="orpo"),
    pytest.param(Simpo(2.0, 0.7), id="simpo"),
    pytest.param(Simpo(2.0, 0.7, 0.1), id="simpo-smoothed"),
]


def whole_rows(rows: Rows, side: str) -> dict[str, Tensor]:
    """Tokens of prompt and answer, which of them are no padding, and which are the answer's."""
    counted = rows[f"{side}_loss"]
    seen = np.logical_or.accumulate(counted[:, ::-1], axis=1)[:, ::-1]
    arrays = {"input_ids": rows[side], "attention_mask": seen.astype(np.int64), "completion_mask": counted.astype(np.int64)}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def stacked(rows: Rows) -> dict[str, Tensor]:
    """The chosen answers, then the rejected ones."""
    sides = [whole_rows(rows, side) for side in SIDES]
    return {name: torch.cat([side[name] for side in sides]) for name in sides[0]}


def labelled(rows: Rows) -> dict[str, Tensor]:
    """Pairs as ORPO's and CPO's trainers take them."""
    found: dict[str, Tensor] = {}
    for side in SIDES:
        whole = whole_rows(rows, side)
        found |= {f"{side}_input_ids": whole["input_ids"], f"{side}_attention_mask": whole["attention_mask"]}
        found[f"{side}_labels"] = torch.where(whole["completion_mask"] == 1, whole["input_ids"], -100)
    return found


def trainer_and_inputs(trl: Any, objective: AnyObjective, rows: Rows, theirs: Any, frozen: Any, folder: Path, tokenizer: Any) -> Any:
    """TRL's trainer of the same loss, and the rows as it takes them."""
    from datasets import Dataset
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    options: dict[str, Any] = {"output_dir": str(folder), "use_cpu": True, "bf16": False, "report_to": "none"}
    options |= {"per_device_train_batch_size": 6, "beta": objective.beta}
    pairs = Dataset.from_dict({"prompt": ["Who walked?"] * 6, "chosen": [" Ada."] * 6, "rejected": [" Bruno."] * 6})
    shared = {"model": theirs, "processing_class": tokenizer}
    if isinstance(objective, Dpo):
        arguments = trl.DPOConfig(**options, loss_type=[objective.loss], label_smoothing=objective.label_smoothing)
        return trl.DPOTrainer(**shared, ref_model=frozen, args=arguments, train_dataset=pairs), stacked(rows)
    if isinstance(objective, Kto):
        good, bad = objective.desirable_weight, objective.undesirable_weight
        arguments = trl.KTOConfig(**options, desirable_weight=good, undesirable_weight=bad)
        answers = Dataset.from_dict({"prompt": ["Who?"] * 6, "completion": [" Ada."] * 6, "label": [True, False] * 3})
        tokens, exchanged = exchange_answers(labelled_rows(rows))
        others, flags = torch.from_numpy(tokens), torch.from_numpy(exchanged.astype(np.int64))
        seen = flags.flip(1).cummax(dim=1).values.flip(1)
        inputs = {**stacked(rows), "label": torch.tensor([True] * 6 + [False] * 6)}
        inputs |= {"KL_input_ids": others, "KL_attention_mask": seen, "KL_completion_mask": flags}
        return trl.KTOTrainer(**shared, ref_model=frozen, args=arguments, train_dataset=answers), inputs
    if isinstance(objective, Orpo):
        return ORPOTrainer(**shared, args=ORPOConfig(**options), train_dataset=pairs), labelled(rows)
    options |= {"loss_type": "simpo", "cpo_alpha": 0.0, "simpo_gamma": objective.gap, "label_smoothing": objective.label_smoothing}
    return CPOTrainer(**shared, args=CPOConfig(**options), train_dataset=pairs), labelled(rows)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_loss_is_that_of_trl(chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path, objective: AnyObjective) -> None:
    trl = pytest.importorskip("trl", reason="TRL, of the extra `proofs`, is not installed")
    from transformers import AutoTokenizer, LlamaForCausalLM

    vocabulary = chat_format.tokenizer.get_vocab_size()
    models = {name: Decoder(SHAPE, vocabulary, seed=seed).eval() for name, seed in (("policy", 1), ("reference", 2))}
    for name, model in models.items():
        save_model(model, tmp_path / name)
    theirs, frozen = (LlamaForCausalLM.from_pretrained(tmp_path / name, dtype=torch.float32).eval() for name in models)
    rows = pair_rows(6, CONTEXT + 1, vocabulary, seed=7)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    trainer, inputs = trainer_and_inputs(trl, objective, rows, theirs, frozen, tmp_path / "trl", tokenizer)
    with torch.no_grad():
        expected = trainer.compute_loss(theirs.eval(), inputs)
        found, _ = loss_of(objective, models, rows)
    print(f"ours {float(found):.7f}, TRL's {float(expected):.7f}")
    assert float(found) == pytest.approx(float(expected), abs=1e-6, rel=1e-6)

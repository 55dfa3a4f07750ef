"""GRPO against the formula of its papers in numpy, and against TRL on one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.inference.chat_format import ChatFormat
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from model.objectives.grpo import Grpo
from tests.model.objectives.grpo_rows import Rows, advantages, plain_loss, rollout_rows

CONTEXT, ALLOWED = 24, 20
SHAPE = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=48, context=CONTEXT, initial_std=0.3)
VOCABULARY = 61
SETTINGS = [
    pytest.param({"aggregation": "sequence", "scale": "group"}, id="grpo"),
    pytest.param({"aggregation": "token", "scale": "batch"}, id="dapo"),
    pytest.param({"aggregation": "constant", "scale": "none"}, id="dr-grpo"),
    pytest.param({"aggregation": "sequence", "scale": "group", "kl_weight": 0.0, "clip_high": 0.28, "temperature": 0.7}, id="clip-higher"),
]


@pytest.fixture(scope="module")
def policy() -> Decoder:
    return Decoder(SHAPE, VOCABULARY, seed=1).eval()


@pytest.fixture(scope="module")
def reference() -> Decoder:
    return Decoder(SHAPE, VOCABULARY, seed=2).eval()


def tensors(objective: Grpo, rows: Rows, whole: Rows) -> dict[str, torch.Tensor]:
    """A micro-batch as the trainer makes it; `whole`: the rows that sums over all workers are of."""
    arrays = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in objective.batch(rows).items()}
    return arrays | {name: torch.tensor(value, dtype=torch.float64) for name, value in objective.globals(whole).items()}


def loss_of(objective: Grpo, models: dict[str, Any], rows: Rows, micro_batch: int = 100) -> tuple[torch.Tensor, dict[str, float]]:
    """The loss and each term's mean, from micro-batches, as the trainer computes them."""
    units = objective.units(rows)
    parts = [{name: column[at : at + micro_batch] for name, column in rows.items()} for at in range(0, len(rows["tokens"]), micro_batch)]
    sums = sum((objective.sums(models, tensors(objective, part, rows)) for part in parts), torch.zeros(()))
    means = {term.name: value / units[term.unit] for term, value in zip(objective.terms, sums, strict=True)}
    return sum(term.weight * means[term.name] for term in objective.terms), {name: float(mean.detach()) for name, mean in means.items()}


def log_probabilities(network: Decoder, tokens: np.ndarray[Any, Any], temperature: float) -> np.ndarray[Any, Any]:
    """Of each token after those before it, [rows, width], 0 for the first; fp64."""
    with torch.no_grad():
        logits_BTV = network.logits({"tokens": torch.from_numpy(tokens[:, :-1])}).double() / temperature
    found = logits_BTV.log_softmax(-1).gather(2, torch.from_numpy(tokens[:, 1:])[:, :, None])[:, :, 0]
    return np.concatenate((np.zeros((len(tokens), 1)), found.numpy()), axis=1)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_loss_is_that_of_the_papers(policy: Decoder, reference: Decoder, settings: dict[str, Any]) -> None:
    rows = rollout_rows(3, 4, CONTEXT + 1, VOCABULARY, seed=3)
    objective = Grpo(max_new_tokens=ALLOWED, **{"kl_weight": 0.1, **settings})
    models = {"policy": policy, "reference": reference}
    temperature = objective.temperature
    expected = plain_loss(
        rows,
        *(log_probabilities(model, rows["tokens"], temperature) for model in (policy, reference)),
        clip=(objective.clip_low, objective.clip_high),
        kl_weight=objective.kl_weight,
        aggregation=objective.aggregation,
        scale=objective.scale,
        max_new_tokens=ALLOWED,
    )
    with torch.no_grad():
        found, means = loss_of(objective, models, rows)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert means["reward"] == pytest.approx(rows["reward"].mean())
    assert means["reply_tokens"] == pytest.approx(np.count_nonzero(rows["loss"]) / 12)
    assert 0 < means["clipped"] < 1 and means["entropy"] == pytest.approx(-rows["log_probability"][rows["loss"]].mean(), rel=1e-5)


@pytest.mark.parametrize("settings", SETTINGS)
def test_micro_batches_that_cut_groups_apart_give_the_same_loss_and_gradient(
    policy: Decoder, reference: Decoder, settings: dict[str, Any]
) -> None:
    rows = rollout_rows(3, 4, CONTEXT + 1, VOCABULARY, seed=4)
    objective, models = Grpo(max_new_tokens=ALLOWED, **settings), {"policy": policy, "reference": reference}
    found = []
    for micro_batch in (100, 5, 1):
        policy.zero_grad()
        loss, _ = loss_of(objective, models, rows, micro_batch)
        torch.autograd.backward(loss)
        found.append(
            (float(loss.detach()), torch.cat([parameter.grad.flatten() for parameter in policy.parameters() if parameter.grad is not None]))
        )
    for mean, gradient in found[1:]:
        assert mean == pytest.approx(found[0][0], rel=1e-5)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-4, atol=1e-6)


def test_where_policy_sampler_and_reference_are_one_the_gradient_is_that_of_the_advantages(policy: Decoder) -> None:
    rows = rollout_rows(2, 4, CONTEXT + 1, VOCABULARY, seed=5)
    rows["log_probability"] = np.where(rows["loss"], log_probabilities(policy, rows["tokens"], 1.0), 0).astype(np.float32)
    objective = Grpo(max_new_tokens=ALLOWED, kl_weight=0.5, aggregation="token")
    policy.zero_grad()
    loss, means = loss_of(objective, {"policy": policy, "reference": policy}, rows)
    torch.autograd.backward(loss)
    assert policy.model.embed_tokens.weight.grad is not None
    found = policy.model.embed_tokens.weight.grad.clone()
    assert means["clipped"] == 0 and means["kl"] == pytest.approx(0, abs=1e-6)
    policy.zero_grad()
    logits_BTV = policy.logits({"tokens": torch.from_numpy(rows["tokens"][:, :-1])})
    taken_BT = logits_BTV.log_softmax(-1).gather(2, torch.from_numpy(rows["tokens"][:, 1:])[:, :, None])[:, :, 0]
    weight_BT = torch.from_numpy(advantages(rows, "group")[:, None] * rows["loss"][:, 1:]).float()
    torch.autograd.backward(-(taken_BT * weight_BT).sum() / int(np.count_nonzero(rows["loss"])))
    torch.testing.assert_close(found, policy.model.embed_tokens.weight.grad, rtol=1e-3, atol=1e-6)


def test_a_group_whose_replies_are_all_as_good_teaches_nothing(policy: Decoder) -> None:
    rows = rollout_rows(1, 4, CONTEXT + 1, VOCABULARY, seed=6)
    rows |= {"reward": np.ones(4, np.float32), "group_mean": np.ones(4, np.float32), "group_deviation": np.zeros(4, np.float32)}
    policy.zero_grad()
    loss, _ = loss_of(Grpo(max_new_tokens=ALLOWED, kl_weight=0.0), {"policy": policy}, rows)
    torch.autograd.backward(loss)
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in policy.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_loss_is_that_of_trl(
    reference: Decoder, chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    trl = pytest.importorskip("trl", reason="TRL, of the extra `proofs`, is not installed")
    from datasets import Dataset
    from transformers import AutoTokenizer, LlamaForCausalLM

    vocabulary = chat_format.tokenizer.get_vocab_size()
    policy, frozen = (Decoder(SHAPE, vocabulary, seed=seed).eval() for seed in (1, 2))
    save_model(policy, tmp_path / "model")
    rows = rollout_rows(3, 4, CONTEXT + 1, vocabulary, seed=7)
    objective = Grpo(max_new_tokens=ALLOWED, **{"kl_weight": 0.1, **settings})
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    options = trl.GRPOConfig(
        output_dir=str(tmp_path / "trl"),
        use_cpu=True,
        bf16=False,
        report_to="none",
        per_device_train_batch_size=12,
        num_generations=4,
        max_completion_length=ALLOWED,
        beta=objective.kl_weight,
        epsilon=objective.clip_low,
        epsilon_high=objective.clip_high,
        temperature=objective.temperature,
        loss_type={"sequence": "grpo", "token": "dapo", "constant": "dr_grpo"}[objective.aggregation],
        use_bias_correction_kl=False,
    )
    trainer = trl.GRPOTrainer(
        model=theirs,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=options,
        train_dataset=Dataset.from_dict({"prompt": ["Who walked?"] * 12}),
        processing_class=AutoTokenizer.from_pretrained(tokenizer_dir),
    )
    starts = rows["loss"].argmax(axis=1)
    lengths = rows["loss"].sum(axis=1)
    prompts, completions = int(starts.max()), int(lengths.max())
    before, after = np.arange(prompts) - prompts + starts[:, None], starts[:, None] + np.arange(completions)
    inside = np.arange(completions) < lengths[:, None]

    def of_reply(values: np.ndarray[Any, Any]) -> torch.Tensor:
        taken = np.take_along_axis(values, after.clip(max=CONTEXT), axis=1)
        return torch.from_numpy(np.where(inside, taken, 0)).to(torch.float32 if values.dtype.kind == "f" else torch.int64)

    inputs = {
        "prompt_ids": torch.from_numpy(np.where(before >= 0, np.take_along_axis(rows["tokens"], before.clip(min=0), axis=1), 0)),
        "prompt_mask": torch.from_numpy((before >= 0).astype(np.int64)),
        "completion_ids": of_reply(rows["tokens"]),
        "completion_mask": torch.from_numpy(inside.astype(np.int64)),
        "advantages": torch.from_numpy(advantages(rows, objective.scale)).float(),
        "old_per_token_logps": of_reply(rows["log_probability"]),
        "ref_per_token_logps": of_reply(log_probabilities(frozen, rows["tokens"], objective.temperature)),
        "num_items_in_batch": torch.tensor(float(lengths.sum())),
    }
    with torch.no_grad():
        expected = trainer.compute_loss(theirs.eval(), inputs)
        found, _ = loss_of(objective, {"policy": policy, "reference": frozen}, rows)
    print(f"ours {float(found):.7f}, TRL's {float(expected):.7f}")
    assert float(found) == pytest.approx(float(expected), abs=2e-6)

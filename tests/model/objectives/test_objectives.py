"""Objectives against independent arithmetic: transformers' own loss, and the formula of the DPO paper over its logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from model.networks.scalar_heads import add_head
from model.objectives.dpo import Dpo
from model.objectives.next_token import NextToken, Sft
from model.objectives.protocol import POLICY, REFERENCE
from model.objectives.reward_model import HEAD, read_scores, scored_batch

VOCABULARY, CONTEXT = 61, 24
SHAPE = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=48, context=CONTEXT, initial_std=0.3)


@pytest.fixture(scope="module")
def policy() -> Decoder:
    return Decoder(SHAPE, VOCABULARY, seed=1).eval()


@pytest.fixture(scope="module")
def reference() -> Decoder:
    return Decoder(SHAPE, VOCABULARY, seed=2).eval()


def llama(decoder: Decoder, folder: Path) -> torch.nn.Module:
    from transformers import LlamaForCausalLM

    save_model(decoder, folder)
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()  # type: ignore[no-any-return]


def draws(seed: int, rows: int) -> np.random.Generator:
    return np.random.default_rng([seed, rows])


def tensors(objective: NextToken | Dpo, rows: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in objective.batch(rows).items()}


def test_the_next_token_loss_is_that_of_transformers(policy: Decoder, tmp_path: Path) -> None:
    tokens = draws(1, 4).integers(0, VOCABULARY, (4, CONTEXT + 1))
    loss_mask = draws(2, 4).random(tokens.shape) < 0.6
    rows = {"tokens": tokens, "document": np.zeros_like(tokens), "loss": loss_mask}
    with torch.no_grad():
        (ours,) = NextToken().sums({POLICY: policy}, tensors(NextToken(), rows))
        labels = torch.from_numpy(np.where(loss_mask, tokens, -100))
        labels[:, 0] = -100
        theirs = llama(policy, tmp_path)(input_ids=torch.from_numpy(tokens), labels=labels).loss
    assert float(ours) / NextToken().units(rows)["tokens"] == pytest.approx(float(theirs), abs=1e-5)


def test_packed_documents_have_the_same_loss_as_alone(policy: Decoder) -> None:
    tokens = draws(3, 1).integers(0, VOCABULARY, (1, CONTEXT + 1))
    document = (np.arange(CONTEXT + 1) >= 10).astype(np.int64)[None]
    counted = np.ones_like(tokens, dtype=bool)
    counted[:, 10] = False
    with torch.no_grad():
        (together,) = NextToken().sums({POLICY: policy}, tensors(NextToken(), {"tokens": tokens, "document": document, "loss": counted}))
        alone = 0.0
        for part in (tokens[:, :10], tokens[:, 10:]):
            logits = policy.logits({"tokens": torch.from_numpy(part[:, :-1])})
            alone += float(functional.cross_entropy(logits[0], torch.from_numpy(part[0, 1:]), reduction="sum"))
    assert float(together) == pytest.approx(alone, rel=1e-5)


def test_fine_tuning_learns_nothing_from_the_question_and_something_from_the_stop_token(policy: Decoder) -> None:
    tokens = torch.arange(7, 7 + CONTEXT + 1)[None] % VOCABULARY
    answer = np.zeros((1, CONTEXT + 1), dtype=bool)
    answer[:, 15:19] = True  # three words and the token that ends them
    rows = {"tokens": tokens.numpy(), "document": np.zeros((1, CONTEXT + 1), dtype=np.int64), "loss": answer}
    assert Sft().units(rows) == {"tokens": 4}
    policy.zero_grad()
    logits = policy.logits({"tokens": tokens[:, :-1]})
    logits.retain_grad()
    batch = tensors(Sft(), rows)
    torch.autograd.backward(functional.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), ignore_index=-100, reduction="sum"))
    assert logits.grad is not None
    touched = logits.grad.abs().sum(dim=-1)[0].nonzero().flatten().tolist()
    assert touched == [14, 15, 16, 17], "the logits before each counted token, and no other"


def test_dpo_is_the_formula_of_the_paper_over_transformers_log_probabilities(policy: Decoder, reference: Decoder, tmp_path: Path) -> None:
    beta, size = 0.3, 5
    random = draws(4, size)
    rows: dict[str, np.ndarray] = {}
    for side in ("chosen", "rejected"):
        rows[side] = random.integers(0, VOCABULARY, (size, CONTEXT + 1))
        lengths = random.integers(3, 14, (size, 1))
        positions = np.arange(CONTEXT + 1)[None]
        rows[f"{side}_loss"] = (positions >= 8) & (positions < 8 + lengths)

    def log_probability(model: torch.nn.Module, side: str) -> torch.Tensor:
        tokens = torch.from_numpy(rows[side])
        log_p: torch.Tensor = model(input_ids=tokens).logits.log_softmax(dim=-1)[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]
        return (log_p * torch.from_numpy(rows[f"{side}_loss"])[:, 1:]).sum(dim=1)

    objective = Dpo(beta)
    with torch.no_grad():
        theirs, frozen = llama(policy, tmp_path / "policy"), llama(reference, tmp_path / "reference")
        ratio = {side: log_probability(theirs, side) - log_probability(frozen, side) for side in ("chosen", "rejected")}
        expected = -torch.log(torch.sigmoid(beta * (ratio["chosen"] - ratio["rejected"]))).sum()
        sums = objective.sums({POLICY: policy, REFERENCE: reference}, tensors(objective, rows))
        measured = {term.name: value for term, value in zip(objective.terms, sums.tolist(), strict=True)}
        assert measured["loss"] == pytest.approx(float(expected), rel=1e-4)
        assert measured["chosen_logp"] == pytest.approx(float(log_probability(theirs, "chosen").sum()), rel=1e-4)
        assert measured["rejected_logp"] == pytest.approx(float(log_probability(theirs, "rejected").sum()), rel=1e-4)


@pytest.mark.parametrize("positions", ["learned", "rope", "sinusoidal", "alibi"])
def test_a_reward_model_scores_rows_that_fill_its_context(positions: str) -> None:
    shape = DecoderConfig.model_validate({**SHAPE.model_dump(), "positions": positions})
    network = Decoder(shape, VOCABULARY, seed=3).eval()
    add_head(network, HEAD)
    tokens = draws(5, 4).integers(0, VOCABULARY, (4, CONTEXT + 1))
    flags = np.zeros_like(tokens, dtype=bool)
    for row, length in enumerate((CONTEXT + 1, CONTEXT, 5, 1)):
        flags[row, :length] = True
    batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in scored_batch(tokens, flags).items()}
    scores = read_scores(network, batch)
    assert scores.shape == (4,) and bool(torch.isfinite(scores).all())

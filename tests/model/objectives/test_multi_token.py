"""Multi-token prediction against a computation in plain Python, one document at a time, and what the heads must not change."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.evaluation.config import EvaluateConfig
from model.evaluation.evaluate import evaluate
from model.inference.chat_format import ChatFormat
from model.networks.decoder import Decoder
from model.networks.directory import load_model, save_model
from model.networks.multi_token import MultiTokenHead
from model.objectives.next_token import NextToken
from model.objectives.protocol import IGNORED, POLICY, mean_loss, term_means
from tests.model.networks.decoders import VOCABULARY, small_config, spread_decoder

CONTEXT = 14
ENDS = ((15,), (1, 3, 9, 15), (6, 8, 15))  # of each row's documents
KINDS: dict[str, dict[str, Any]] = {
    "rope": {},
    "latent": {"attention": "latent", "latent_width": 16, "latent_rope_width": 8},
    "post-norm": {"norm_place": "post", "norm": "layer", "tied_embeddings": False, "positions": "learned"},
    "sliding-alibi": {"pattern": "sliding", "window": 3, "positions": "alibi"},
}


def rows(seed: int = 1) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(seed)
    shape = (len(ENDS), CONTEXT + 1)
    document = np.array([np.searchsorted(ends, np.arange(CONTEXT + 1), side="right") for ends in ENDS], dtype=np.uint16)
    loss = random.random(shape) < 0.8
    loss[:, 1:] &= document[:, 1:] == document[:, :-1]
    return {"tokens": random.integers(0, VOCABULARY, shape), "document": document, "loss": loss, "position": np.arange(len(ENDS))}


def heads_of(kind: str = "rope", heads: int = 2) -> Decoder:
    return spread_decoder(small_config(context=CONTEXT + 1, multi_token=heads, **KINDS[kind]))


def sums(objective: NextToken, network: Decoder, given: dict[str, NDArray[Any]]) -> list[float]:
    batch = {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in objective.batch(given).items()}
    with torch.no_grad():
        found: list[float] = objective.sums({POLICY: network}, batch).tolist()
    return found


def scores_of(network: Decoder, tokens: list[int]) -> list[list[list[float]]]:
    """Logits of one document alone: for each depth, of each token that has so many after it."""
    trunk, known = network.model, torch.tensor([tokens])
    embedded = trunk.embed_tokens(known)[0]
    hidden = [network({"tokens": known})[0]]
    seen = trunk.seen(embedded[None], {"tokens": known})
    for depth, head in enumerate(trunk.multi_token, start=1):
        assert isinstance(head, MultiTokenHead)
        joined = [
            head.joined_proj.weight @ torch.cat((head.hidden_norm(hidden[-1][at]), head.token_norm(embedded[at + depth])))
            for at in range(len(tokens) - depth)
        ]
        if not joined:
            break
        x_1TD = torch.stack(joined)[None]
        part = trunk.seen(x_1TD, {"tokens": known[:, : len(joined)]})
        hidden.append(head.norm(head.block(x_1TD, trunk.block_inputs(x_1TD, part)))[0])
    assert seen.end == len(tokens)
    return [network.read(x_TD).double().tolist() for x_TD in hidden]


@pytest.mark.parametrize("kind", KINDS)
def test_each_heads_loss_is_that_of_a_computation_in_plain_python(kind: str) -> None:
    network, given = heads_of(kind), rows()
    nats, right, counts = [0.0] * 3, [0] * 3, [0] * 3
    with torch.no_grad():
        for row, ends in enumerate(ENDS):
            for first, end in zip((0, *ends), ends, strict=False):
                tokens = [int(token) for token in given["tokens"][row, first:end]]
                for depth, scores in enumerate(scores_of(network, tokens)):
                    for at in range(len(tokens) - depth - 1):
                        if given["loss"][row, first + at + depth + 1]:
                            target, found = tokens[at + depth + 1], scores[at]
                            nats[depth] += math.log(sum(math.exp(score) for score in found)) - found[target]
                            right[depth] += max(range(VOCABULARY), key=found.__getitem__) == target
                            counts[depth] += 1
    objective = NextToken(heads=2, heads_weight=0.6)
    found = sums(objective, network, given)
    assert found == pytest.approx([nats[0], nats[1], right[1], nats[2], right[2]], rel=1e-5)
    units = objective.units(given)
    assert units == {"tokens": counts[0], "ahead_1": counts[1], "ahead_2": counts[2]} and counts[2] < counts[1] < counts[0]
    loss = mean_loss(objective, torch.tensor(found, dtype=torch.float64), units)
    assert float(loss) == pytest.approx(nats[0] / counts[0] + 0.3 * nats[1] / counts[1] + 0.3 * nats[2] / counts[2], rel=1e-5)
    means = term_means(objective, found, units)
    assert means["loss"] == pytest.approx(nats[0] / counts[0]) and means["ahead_2_accuracy"] == pytest.approx(right[2] / counts[2])


@pytest.mark.parametrize("within_documents", [True, False])
def test_no_head_is_asked_for_a_token_of_another_document(within_documents: bool) -> None:
    given = rows()
    given["loss"][:] = True
    batch = NextToken(within_documents=within_documents, heads=3).batch(given)
    for row, depth, at in np.ndindex(len(ENDS), 3, CONTEXT):
        target = at + depth + 2
        inside = target <= CONTEXT and given["document"][row, at] == given["document"][row, min(target, CONTEXT)]
        assert batch["targets_ahead"][row, depth, at] == (given["tokens"][row, target] if inside else IGNORED)


@pytest.mark.parametrize("kind", KINDS)
def test_changing_one_document_leaves_what_the_heads_make_of_its_neighbours_bit_equal(kind: str) -> None:
    network, objective, one = heads_of(kind), NextToken(heads=2), rows()
    other = {**one, "tokens": one["tokens"].copy()}
    other["tokens"][1, 3:9] = (one["tokens"][1, 3:9] + 5) % VOCABULARY
    both: list[list[Tensor]] = []
    for given in (one, other):
        batch = {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in objective.batch(given).items()}
        with torch.no_grad():
            both.append([network.read(x_BTD) for x_BTD in network.ahead(batch)])
    for depth, (first, second) in enumerate(zip(*both, strict=True)):
        for start, end in ((0, 1), (1, 3), (9, 15)):
            valid = slice(start, max(start, end - depth))
            assert first[1, valid].equal(second[1, valid]), (depth, start)
        assert not first[1, 3:7].equal(second[1, 3:7])


def test_a_network_computes_the_same_with_heads_and_without(tmp_path: Path) -> None:
    with_heads, tokens = heads_of(heads=2), torch.arange(CONTEXT)[None] * 3 % VOCABULARY
    alone = Decoder(small_config(context=CONTEXT + 1), VOCABULARY, seed=3)
    fresh = Decoder(small_config(context=CONTEXT + 1, multi_token=2), VOCABULARY, seed=3)
    assert alone.logits({"tokens": tokens}).equal(fresh.logits({"tokens": tokens}))
    save_model(with_heads, tmp_path)
    assert load_model(tmp_path).config == with_heads.config
    bare = load_model(tmp_path, heads=False)
    assert bare.config == with_heads.config.alone and bare.logits({"tokens": tokens}).equal(with_heads.logits({"tokens": tokens}))


def test_gradients_of_a_heads_loss_reach_the_network_and_are_those_of_recomputation() -> None:
    found = []
    for recompute in (False, True):
        network, objective, given = heads_of().train(), NextToken(heads=2), rows()
        network.recompute = recompute
        batch = {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in objective.batch(given).items()}
        mean_loss(objective, objective.sums({POLICY: network}, batch), objective.units(given)).backward()  # type: ignore[no-untyped-call]
        found.append({name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None})
    assert len(found[0]) == len(list(network.parameters()))
    assert all(gradient.any() for gradient in found[0].values())
    assert all(torch.equal(*both) for both in zip(found[0].values(), found[1].values(), strict=True))


def test_rows_shorter_than_a_head_reaches_have_no_targets_for_it_and_are_learned_without() -> None:
    short, objective = {name: column[:, :3] if column.ndim == 2 else column for name, column in rows().items()}, NextToken(heads=4)
    short["loss"][:] = True
    units, network = objective.units(short), heads_of(heads=4)
    assert units["tokens"] == 6 and units["ahead_1"] > 0 and units["ahead_2"] == units["ahead_4"] == 0
    found = torch.tensor(sums(objective, network, short))
    first = (found[0] / units["tokens"] + 0.3 / 4 * found[1] / units["ahead_1"]).item()
    assert float(mean_loss(objective, found, units)) == pytest.approx(first) and "ahead_2_loss" not in term_means(
        objective, found.tolist(), units
    )


def test_evaluation_measures_the_next_token_alone(chat_format: ChatFormat, tokenizer_dir: Path, packed: Path, tmp_path: Path) -> None:
    vocabulary, measured = chat_format.tokenizer.get_vocab_size(), []
    for name, heads in (("heads", 2), ("alone", 0)):
        save_model(Decoder(small_config(context=64, multi_token=heads), vocabulary, seed=3), tmp_path / name)
        asked = EvaluateConfig(splits=("val",), rows=8, samples=0)
        measured.append(evaluate(tmp_path / name, tokenizer_dir, packed, None, tmp_path / f"{name}-out", asked, threads=1))
    assert measured[0] == measured[1] and measured[0]["val.bits_per_byte"] > 0

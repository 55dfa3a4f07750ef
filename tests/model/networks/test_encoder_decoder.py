"""The encoder and decoder against T5 of transformers, in packed rows, and as it fills gaps."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from model.networks.config import EncoderDecoderConfig
from model.networks.encoder_decoder import EncoderDecoder
from tests.model.networks.decoders import VOCABULARY, tokens
from tests.model.networks.spread import spread

CONTEXT, SENTINELS, GAP = 20, 10, VOCABULARY
READ, WRITTEN = torch.tensor([[0] * 3 + [1] * 11 + [2] * 6]), torch.tensor([[0] * 2 + [1] * 5 + [2] * 3])


def network(**changes: object) -> EncoderDecoder:
    """A small one in evaluation mode whose gains differ from their initial values."""
    sizes = {"width": 32, "layers": 2, "heads": 4, "feed_forward": 48, "context": CONTEXT, "initial_std": 0.2, "sentinels": SENTINELS}
    changed = {**sizes, "relative_buckets": 8, "relative_distance": 12, **changes}
    return spread(EncoderDecoder(EncoderDecoderConfig.model_validate(changed), VOCABULARY, seed=3))


def as_t5(weights: dict[str, Tensor], layers: int, head: int) -> dict[str, Tensor]:
    """T5 does not divide scores by the root of the head's width; its queries are that much smaller."""
    found = {"shared.weight": weights["embed_tokens.weight"], "lm_head.weight": weights["lm_head.weight"]}
    for stack, norm in (("encoder", "encoder_norm"), ("decoder", "norm")):
        found[f"{stack}.embed_tokens.weight"] = weights["embed_tokens.weight"]
        found[f"{stack}.final_layer_norm.weight"] = weights[f"{norm}.weight"]
        found[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = weights[f"{stack}_bias.weight"]
        parts = [("input_layernorm", "self_attn", "SelfAttention"), ("cross_layernorm", "cross_attn", "EncDecAttention")]
        for layer in range(layers):
            for number, (before, ours, theirs) in enumerate(parts if stack == "decoder" else parts[:1]):
                at = f"{stack}.block.{layer}.layer.{number}"
                found[f"{at}.layer_norm.weight"] = weights[f"{stack}.{layer}.{before}.weight"]
                for name in "qkvo":
                    matrix = weights[f"{stack}.{layer}.{ours}.{name}_proj.weight"]
                    found[f"{at}.{theirs}.{name}.weight"] = matrix * head**-0.5 if name == "q" else matrix
            at = f"{stack}.block.{layer}.layer.{2 if stack == 'decoder' else 1}"
            found[f"{at}.layer_norm.weight"] = weights[f"{stack}.{layer}.post_attention_layernorm.weight"]
            for ours, theirs in (("gate", "wi_0"), ("up", "wi_1"), ("down", "wo")):
                found[f"{at}.DenseReluDense.{theirs}.weight"] = weights[f"{stack}.{layer}.mlp.{ours}_proj.weight"]
    return found


@torch.no_grad()
def test_hidden_vectors_are_those_of_t5_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    ours, read, written = network(activation="swiglu", tied_embeddings=False), tokens(2, CONTEXT), tokens(2, 7)
    config = transformers.T5Config(
        vocab_size=VOCABULARY + SENTINELS, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, feed_forward_proj="gated-silu",
        relative_attention_num_buckets=8, relative_attention_max_distance=12, layer_norm_epsilon=1e-6, attn_implementation="eager",
    )  # fmt: skip
    theirs = transformers.T5Model(config).eval()
    weights = {name: weight for name, weight in as_t5(ours.state_dict(), 2, 8).items() if name != "lm_head.weight"}
    theirs.load_state_dict(weights)
    expected = theirs(input_ids=read, decoder_input_ids=written).last_hidden_state
    found = ours({"tokens": read, "written": written})
    assert found.std() > 0.3, "vectors this small would agree whatever is computed"
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_neighbours_in_a_packed_row_are_bit_equal_whichever_side_changes_and_each_is_what_it_is_alone() -> None:
    ours, read, written = network(), tokens(1, CONTEXT), tokens(1, 10)
    packed = {"tokens": read, "documents": READ, "written": written, "written_documents": WRITTEN}
    before = ours.logits(packed)
    for name, documents in (("tokens", READ), ("written", WRITTEN)):
        changed = torch.where(documents == 1, (packed[name] + 1) % VOCABULARY, packed[name])
        after = ours.logits({**packed, name: changed})
        assert before[WRITTEN != 1].equal(after[WRITTEN != 1])
        assert (before[WRITTEN == 1] != after[WRITTEN == 1]).any(dim=-1).all()
    for document in range(3):
        alone = ours.logits({"tokens": read[document == READ][None], "written": written[document == WRITTEN][None]})
        torch.testing.assert_close(before[document == WRITTEN], alone[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_written_token_sees_no_later_one_and_everything_that_is_read() -> None:
    ours, read, written = network(), tokens(1, CONTEXT), tokens(1, 6)
    later, last = written.clone(), read.clone()
    later[0, 4], last[0, -1] = (later[0, 4] + 1) % VOCABULARY, (last[0, -1] + 1) % VOCABULARY
    before = ours.logits({"tokens": read, "written": written})[0]
    assert before[:4].equal(ours.logits({"tokens": read, "written": later})[0, :4])
    assert (before != ours.logits({"tokens": last, "written": written})[0]).any(dim=-1).all()


@pytest.mark.parametrize("seed", range(4))
def test_what_is_written_with_kept_keys_is_what_whole_passes_write_and_texts_do_not_touch_each_other(seed: int) -> None:
    ours, random = network(), torch.Generator().manual_seed(seed)
    texts = []
    for length in torch.randint(1, 15, (3,), generator=random).tolist():
        text = torch.randint(0, VOCABULARY, (length,), generator=random).tolist()
        texts.append([*text, GAP, *text[:2]])
    together = ours.fill(texts, 9)
    assert together == [ours.fill([text], 9)[0] for text in texts]
    for text, found in zip(texts, together, strict=True):
        written = [0]
        while len(written) < 10:
            with torch.no_grad():
                token = int(ours.logits({"tokens": torch.tensor([text]), "written": torch.tensor([written])})[0, -1].argmax())
            if token == GAP + 1:
                break
            written.append(token)
        assert found == written[1:]


def test_recomputing_blocks_gives_the_same_gradients_bit_for_bit() -> None:
    gradients = []
    for recompute in (False, True):
        ours = network(dropout=0.2).train()
        ours.recompute = recompute
        torch.manual_seed(1)
        packed = {"tokens": tokens(1, CONTEXT), "documents": READ, "written": tokens(1, 10), "written_documents": WRITTEN}
        torch.autograd.backward(ours.logits(packed).square().sum())
        gradients.append([parameter.grad for parameter in ours.parameters()])
    assert all(one is not None and other is not None and one.equal(other) for one, other in zip(*gradients, strict=True))


def test_shapes_that_cannot_be_built_and_text_that_it_does_not_continue_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="kind=encoder_decoder writes no text"):
        network().decoding()
    for changes, message in (
        ({"heads": 3}, "width=32 over heads=3"),
        ({"relative_buckets": 10}, "relative_buckets=10 and relative_distance=12: choose a multiple of 4"),
        ({"inputs": [{"kind": "tokens"}, {"kind": "vectors", "column": "a", "size": 2}]}, "leave inputs out"),
    ):
        with pytest.raises(ValidationError, match=message):
            network(**changes)

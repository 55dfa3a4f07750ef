"""Models that read pictures: what an input computes, cached as uncached, neighbours apart, training resumed, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from data.shards.pictures import PATCHES, PLACES, SOUND, Picture, cut_patches
from model.inference.batch import PrefixCache
from model.inference.config import SamplingConfig
from model.inference.generation import generate, generate_batch
from model.inputs.config import PicturesConfig, SoundsConfig, TokensConfig
from model.networks.config import KINDS
from model.networks.directory import load_model, save_model
from model.networks.network import Network
from tests.model.inputs.pictures import PICTURES, drawn, picture_rows
from tests.model.jobs import SHAPE, VOCABULARY

GENERATING = [name for name, kind in KINDS.items() if {"generation", "gradients"} <= kind.SUPPORTS]


def built(kind: str = "decoder", places: str = "learned") -> Network:
    """A network whose output depends much on all that it reads."""
    inputs = ({"kind": "tokens"}, {**PICTURES.model_dump(), "places": places})
    config = {"kind": kind, "width": 32, "layers": 2, "context": 32, "inputs": inputs, "initial_std": 0.3}
    return KINDS[kind].model_validate(config).build(VOCABULARY, seed=2).eval()


def columns_of(ids: list[int], first: int, picture: Picture) -> dict[str, Tensor]:
    """The columns of a text with a picture from its token `first` on."""
    patches, places = torch.zeros(1, len(ids), 4), torch.zeros(1, len(ids), dtype=torch.long)
    patches[0, first : first + 6] = torch.from_numpy(cut_patches(picture, PICTURES)).float()
    places[0, first : first + 6] = torch.arange(1, 7)
    return {"tokens": torch.tensor([ids]), PATCHES: patches, PLACES: places}


@pytest.mark.parametrize("kind", GENERATING)
@pytest.mark.parametrize("places", ["learned", "sinusoidal", "none"])
def test_a_prefix_with_a_picture_is_continued_cached_as_uncached(kind: str, places: str) -> None:
    network = built(kind, places)
    decoding = network.decoding()
    seen = decoding.see(drawn(1), 0)
    begin, end = [5, 6, 7], [8, 9]
    cached = list(generate(decoding, [*begin, *seen, *end], SamplingConfig(max_new_tokens=8)))
    ids = [*begin, *[0] * 6, *end]
    uncached: list[int] = []
    with torch.no_grad():
        for _ in range(8):
            logits = network.logits(columns_of([*ids, *uncached], 3, drawn(1)))[0, -1]
            uncached.append(int(logits.argmax()))
        state = decoding.new_state()
        state.add(1)
        one_by_one = [decoding.step(torch.tensor([[token]]), [1], state) for token in (*begin, *seen, *end)][-1][0]
        expected = network.logits(columns_of(ids, 3, drawn(1)))[0, -1]
    assert cached == uncached
    torch.testing.assert_close(one_by_one, expected, atol=1e-4, rtol=1e-4)
    other = decoding.see(drawn(2), 0)
    assert other != seen == decoding.see(drawn(1), 0)
    with torch.no_grad():
        state = decoding.new_state()
        state.add(1)
        assert not torch.allclose(decoding.step(torch.tensor([[*begin, *other, *end]]), [11], state)[0], expected, atol=1e-2)


@pytest.mark.parametrize("kind", GENERATING)
def test_a_prefix_with_a_sound_is_continued_cached_as_uncached_and_neighbours_stay_bit_equal(kind: str) -> None:
    reads = SoundsConfig(seconds=0.08, mels=5, stack=2)
    config = {"kind": kind, "width": 32, "layers": 2, "context": 32, "inputs": (TokensConfig(), reads), "initial_std": 0.3}
    network = KINDS[kind].model_validate(config).build(VOCABULARY, seed=2).eval()
    noise = np.random.default_rng(1).normal(0, 3000, 1280).astype("<i2")
    sound = Picture(SOUND, len(noise), 1, noise.tobytes())
    ids = [5, 6, 7, *[0] * 4, 8, 9, 10, 11]
    patches, places = torch.zeros(1, 11, 10), torch.zeros(1, 11, dtype=torch.long)
    patches[0, 3:7], places[0, 3:7] = torch.from_numpy(cut_patches(sound, reads)).float(), torch.arange(1, 5)
    read = {"tokens": torch.tensor([ids]), PATCHES: patches, PLACES: places}
    decoding = network.decoding()
    with torch.no_grad():
        state = decoding.new_state()
        state.add(1)
        steps = [decoding.step(torch.tensor([[token]]), [1], state) for token in (5, 6, 7, *decoding.see(sound, 0), 8, 9, 10, 11)]
        torch.testing.assert_close(steps[-1][0], network.logits(read)[0, -1], atol=1e-4, rtol=1e-4)
        apart = {**read, "documents": torch.tensor([[0] * 8 + [1] * 3])}
        before, after = network.logits(apart), network.logits({**apart, PATCHES: -patches})
    assert torch.equal(before[:, 8:], after[:, 8:]) and not torch.equal(before[:, :8], after[:, :8])
    with pytest.raises(ValueError, match="a picture where sounds are read"):
        decoding.see(drawn(1), 0)


def test_replies_in_a_batch_with_penalties_and_kept_prefixes_are_those_alone() -> None:
    decoding = built().decoding()
    prompts = [[*range(10 + n), *decoding.see(drawn(n), 0), 3] for n in range(4)]
    alone = [generate_batch(decoding, [prompt], 5)[0] for prompt in prompts]
    assert generate_batch(decoding, prompts, 5) == alone
    config = SamplingConfig(max_new_tokens=4, repetition_penalty=1.3)
    assert [len(list(generate(decoding, prompt, config))) for prompt in prompts] == [4] * 4
    assert PrefixCache(100).find(prompts[0], cuts=True) is None


def test_pictures_seen_long_ago_are_forgotten_and_never_mistaken() -> None:
    decoding = built().decoding()
    decoding._seen.MOST = 20
    first = decoding.see(drawn(1), 0)
    vectors = decoding.embed(torch.tensor([first]))
    tokens = {tuple(decoding.see(drawn(n), 0)) for n in range(2, 9)}
    assert len(tokens) == 7
    with pytest.raises(ValueError, match="forgotten for newer ones"):
        decoding.embed(torch.tensor([first]))
    again = decoding.see(drawn(1), 0)
    assert again != first and torch.equal(decoding.embed(torch.tensor([again])), vectors)


def test_the_vector_of_a_patch_is_its_projection_plus_that_of_its_place_and_no_other_token_s() -> None:
    network = built()
    weights = network.state_dict()
    projection, places = weights["model.embed_patches.weight"], weights["model.embed_patches.places"]
    assert network.roles()["model.embed_patches.places"] == "embedding"
    columns = columns_of([5, *[0] * 6, 9], 1, drawn(3))
    (module,) = (module for name, module in network.named_modules() if name.endswith("embed_patches"))
    found = module.embed(columns)[0]
    expected = torch.from_numpy(cut_patches(drawn(3), PICTURES)).float() @ projection.T + places
    torch.testing.assert_close(found[1:7], expected)
    assert not found[[0, 7]].any() and not module.embed({"tokens": columns["tokens"]}).any()


@pytest.mark.parametrize("kind", GENERATING)
def test_another_picture_in_one_document_leaves_its_neighbours_bit_equal(kind: str) -> None:
    rows = {
        name: torch.from_numpy(values.astype(np.int64) if values.dtype.kind in "iu" else values)
        for name, values in picture_rows(8, 1).items()
    }
    network = built(kind)
    read = {name: rows[name][:, :-1] for name in ("tokens", PATCHES, PLACES)} | {"documents": rows["document"][:, :-1]}
    with torch.no_grad():
        before = network.logits(read)
        after = network.logits({**read, PATCHES: -read[PATCHES]})
    mine = read["documents"] == read["documents"][:, :1]
    assert torch.equal(before[~mine], after[~mine]) and not torch.equal(before[mine], after[mine])


def test_a_model_without_such_an_input_refuses_a_picture_by_name_and_a_saved_one_still_sees(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="this model reads no pictures and no sounds: its network has no input of kind"):
        SHAPE.build(VOCABULARY).decoding().see(drawn(1), 0)
    network = built()
    save_model(network, tmp_path)
    one, other = (net.decoding() for net in (network, load_model(tmp_path)))
    assert torch.equal(*(net.embed(torch.tensor([net.see(drawn(4), 0)])) for net in (one, other)))
    with pytest.raises(ValueError, match="width=34"):
        PicturesConfig(height=4, width=6, patch=2, places="sinusoidal").build(VOCABULARY, 34)

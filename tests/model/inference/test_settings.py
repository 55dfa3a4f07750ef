"""Penalties, biases, scores, beams: against transformers and by their definitions."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from model.inference.batch import Batch
from model.inference.beams import beam_search
from model.inference.config import SamplingConfig
from model.inference.generation import generate, request_for
from model.inference.request import Request
from model.inference.sampling import adjusted, distribution
from model.networks.decoder import Decoder
from tests.model.conftest import random_decoder

transformers = pytest.importorskip("transformers")


def test_penalties_and_min_p_are_those_of_transformers() -> None:
    logits_NV = torch.randn(4, 50, generator=torch.Generator().manual_seed(2)) * 3
    prompt, reply = [3, 4, 9], [9, 20, 20]
    ids = torch.tensor([prompt + reply] * 4)
    config = SamplingConfig(temperature=0.8, top_k=20, top_p=0.9, min_p=0.1, repetition_penalty=1.4)
    theirs = logits_NV
    for processor in (
        transformers.RepetitionPenaltyLogitsProcessor(1.4),
        transformers.TemperatureLogitsWarper(0.8),
        transformers.TopKLogitsWarper(20),
        transformers.TopPLogitsWarper(0.9),
        transformers.MinPLogitsWarper(0.1),
    ):
        theirs = processor(ids, theirs)
    requests = [Request(prompt, config, 9, tokens=list(reply)) for _ in range(4)]
    torch.testing.assert_close(distribution(adjusted(logits_NV, requests, config), config), theirs.softmax(-1), atol=1e-6, rtol=1e-5)


def test_a_bias_forbids_a_token_or_makes_it_certain(decoder: Decoder) -> None:
    plain = list(generate(decoder.decoding(), [3, 4], SamplingConfig(max_new_tokens=8)))
    without = SamplingConfig(max_new_tokens=8, logit_bias=((plain[0], -100.0),))
    assert plain[0] not in list(generate(decoder.decoding(), [3, 4], without))
    assert list(generate(decoder.decoding(), [3, 4], SamplingConfig(max_new_tokens=4, logit_bias=((11, 100.0),)))) == [11] * 4
    with pytest.raises(ValueError, match="logit_bias names token 9999"):
        request_for(decoder.decoding(), [3], SamplingConfig(logit_bias=((9999, 1.0),)), frozenset(), 0)


def test_scores_are_the_model_s_own_whatever_changes_what_is_drawn(decoder: Decoder) -> None:
    config = SamplingConfig(temperature=2.0, top_k=3, repetition_penalty=1.5)
    request = Request([3, 4], config, 6, seed=1, alternatives=4)
    batch = Batch(decoder.decoding())
    batch.join([request])
    while batch.requests:
        batch.step()
    with torch.no_grad():
        log_TV = decoder.logits({"tokens": torch.tensor([[3, 4, *request.tokens]])})[0, 1:-1].log_softmax(-1)
    for log_V, token, score in zip(log_TV, request.tokens, request.scores, strict=True):
        best = log_V.topk(4)
        assert score.log_probability == pytest.approx(float(log_V[token]), abs=1e-4)
        assert [token for token, _ in score.likeliest] == best.indices.tolist()
        assert [value for _, value in score.likeliest] == pytest.approx(best.values.tolist(), abs=1e-4)


@pytest.mark.parametrize(("beams", "penalty"), [(1, 1.0), (3, 1.0), (4, 0.0), (4, 2.0)])
def test_beams_find_what_those_of_transformers_find(decoder: Decoder, tmp_path: Path, beams: int, penalty: float) -> None:
    from model.networks.directory import save_model

    save_model(decoder, tmp_path)
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    for start in range(3):
        prompt = [start, 5 + start, 9]
        found = beam_search(decoder.decoding(), Request(prompt, SamplingConfig(), 10, frozenset({2})), beams, penalty)
        with torch.inference_mode():
            theirs = peer.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, 3), max_new_tokens=10, num_beams=beams, do_sample=False,
                length_penalty=penalty, eos_token_id=2, pad_token_id=0, num_return_sequences=beams,
            )  # fmt: skip
        for ours, row in zip(found, theirs[:, 3:].tolist(), strict=True):
            assert ours.tokens == row[: len(ours.tokens)] and not any(row[len(ours.tokens) :])


def test_as_many_beams_as_there_are_texts_find_the_likeliest_of_all() -> None:
    decoder = random_decoder(12, seed=4)
    (best, *_) = beam_search(decoder.decoding(), Request([3, 1], SamplingConfig(), 2), 12, 0.0)
    texts = [list(pair) for pair in itertools.product(range(12), repeat=2)]
    with torch.no_grad():
        log_NTV = decoder.logits({"tokens": torch.tensor([[3, 1, *text] for text in texts])}).log_softmax(-1)
    totals = [float(log_NTV[n, 1, text[0]] + log_NTV[n, 2, text[1]]) for n, text in enumerate(texts)]
    assert best.tokens == texts[max(range(144), key=totals.__getitem__)] and best.score == pytest.approx(max(totals), abs=1e-4)
    with pytest.raises(ValueError, match="beams=13"):
        beam_search(decoder.decoding(), Request([3], SamplingConfig(), 2), 13)

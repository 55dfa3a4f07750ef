"""A model that drafts for itself by its heads: the texts are those without, and what the heads keep is what they would read at once."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.adapters.prefixes import PromptConfig
from model.inference.answering import Answerer, Answering
from model.inference.batch import Batch, PrefixCache
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.prompt_files import Ledger
from model.inference.request import Request
from model.inference.speculation import DraftError, SpeculativeBatch
from model.networks.config import DecoderConfig, HybridConfig
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from model.objectives.next_token import NextToken
from model.objectives.protocol import POLICY, mean_loss
from model.release.export import copy_tokenizer
from model.serving.opening import Offer, open_served
from model.serving.served import ServeLimits
from tests.model.networks.decoders import EVERY, VOCABULARY, small_config, spread_decoder

KINDS = ["multi-head", "free-output", "learned", "relative", "post-norm", "latent", "sliding", "block-sparse", "qk-norm", "logit-cap"]
CONTEXT = 48


def decoder_of(kind: str = "multi-head", heads: int = 2) -> Decoder:
    return spread_decoder(small_config(**{**EVERY[kind], "multi_token": heads, "context": CONTEXT}))


def finish(batch: Batch, requests: list[Request]) -> list[list[int]]:
    batch.join(requests)
    while batch.requests:
        batch.step()
    return [request.tokens for request in requests]


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    heads=st.integers(1, 4),
    ahead=st.integers(1, 4),
    temperature=st.sampled_from([0.0, 0.8]),
    prompts=st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=30), min_size=1, max_size=4),
)
def test_own_heads_change_no_text(kind: str, heads: int, ahead: int, temperature: float, prompts: list[list[int]]) -> None:
    network, config = decoder_of(kind, heads).decoding(), SamplingConfig(temperature=temperature)

    def asked() -> list[Request]:
        limits = [min(14 + n, CONTEXT - len(prompt)) for n, prompt in enumerate(prompts)]
        return [Request(prompt, config, limit, frozenset({7}), n) for n, (prompt, limit) in enumerate(zip(prompts, limits, strict=True))]

    drafted = SpeculativeBatch(network, network, ahead)
    assert finish(drafted, asked()) == finish(Batch(network), asked())
    assert 0 <= drafted.accepted <= drafted.proposed


def uncached(decoder: Decoder, text: list[int]) -> list[int]:
    """What the heads propose after a text that is read at once."""
    proposed: list[int] = []
    for depth in range(1, decoder.config.heads_ahead + 1):
        with torch.no_grad():
            x_D = decoder.ahead({"tokens": torch.tensor([text + proposed])})[depth][0, len(text) - 2]
            proposed.append(int(decoder.read(x_D[None]).argmax()))
    return proposed


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_what_heads_propose_is_what_they_propose_of_the_text_read_at_once(kind: str, heads: int) -> None:
    """While rows of several lengths join and leave, and begin where earlier texts did."""
    decoder, draws = decoder_of(kind, heads), random.Random(heads)
    network, prefixes, compared = decoder.decoding(), PrefixCache(1000), 0
    batch, start = SpeculativeBatch(network, network, prefixes=prefixes), [draws.randrange(VOCABULARY) for _ in range(24)]

    def compare() -> None:
        nonlocal compared
        for request, proposed in zip(batch.requests, batch._drafter.propose(batch.requests, heads), strict=True):
            text = [*request.prompt, *request.tokens]
            if len(text) + heads <= CONTEXT:
                assert proposed == uncached(decoder, text), len(text)
                compared += 1

    for turn in range(3):
        ends = [[draws.randrange(VOCABULARY) for _ in range(count)] for count in (1, 4)]
        prompts = [start[: draws.choice([17, 20, 24])] + end for end in ends] + [[turn]]
        batch.join([Request(prompt, SamplingConfig(), 5 + 2 * number) for number, prompt in enumerate(prompts)])
        compare()
        while len(batch.requests) > 1:
            batch.step()
            compare()
    assert compared > 30 and prefixes.reused > 0


def test_trained_heads_draft_rightly_and_save_passes() -> None:
    """Texts that count on: the heads learn that, too."""
    config = DecoderConfig(width=32, layers=1, heads=4, kv_heads=2, feed_forward=48, context=CONTEXT, multi_token=2)
    decoder, objective = Decoder(config, VOCABULARY).train(), NextToken(heads=2)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-2, weight_decay=0.0)
    for step in range(60):
        tokens = (torch.arange(25)[None] + 7 * step + 20 * torch.arange(3)[:, None]) % VOCABULARY
        rows: dict[str, Any] = {"tokens": tokens.numpy(), "document": (tokens * 0).numpy(), "loss": (tokens >= 0).numpy()}
        batch = {name: torch.from_numpy(column) for name, column in objective.batch(rows).items()}
        loss = mean_loss(objective, objective.sums({POLICY: decoder}, batch), objective.units(rows))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    network = decoder.eval().decoding()
    drafted, request, passes = SpeculativeBatch(network, network), Request(list(range(5, 15)), SamplingConfig(), 30), 0
    drafted.join([request])
    while drafted.requests:
        drafted.step()
        passes += 1
    assert request.tokens == list(range(15, 45))
    assert drafted.accepted > 0.8 * drafted.proposed and passes <= 14


def test_a_reply_that_fails_leaves_its_neighbours_alone() -> None:
    network, config = decoder_of(heads=3).decoding(), SamplingConfig()

    class Broken:
        def allowed(self) -> torch.Tensor:
            raise ValueError("no token is allowed")

        def accept(self, token: int) -> None:
            """Nothing to note."""

    failing = [Request([3, 4, 5], config, 9, isolated=True, constraint=Broken()), Request([3, 4], config, 9, isolated=True)]
    finish(SpeculativeBatch(network, network), failing)
    assert failing[0].fault and failing[1].tokens == finish(Batch(network), [Request([3, 4], config, 9)])[0]


def test_what_cannot_draft_for_itself_is_refused_by_name(chat_format: ChatFormat, tokenizer_dir: Path, tmp_path: Path) -> None:
    bare, hybrid = spread_decoder(small_config()), HybridConfig(width=32, layers=4, heads=2, kv_heads=1, context=32).build(VOCABULARY)
    for network in (bare.decoding(), hybrid.decoding()):
        with pytest.raises(DraftError, match=f"of kind={network.config.kind}, has no heads to draft for itself"):
            SpeculativeBatch(network, network)
        with pytest.raises(DraftError, match="no heads"):
            Answerer(network, chat_format, Answering(SamplingConfig()), network)
    prompted = decoder_of()
    PromptConfig(kind="prompt", length=2).build().inject(prompted, 0)
    network = prompted.decoding()
    with pytest.raises(DraftError, match="learned prefix, which its heads never saw"):
        SpeculativeBatch(network, network)
    save_model(Decoder(small_config(), chat_format.tokenizer.get_vocab_size()), tmp_path)
    copy_tokenizer(tokenizer_dir, tmp_path)
    with pytest.raises(DraftError, match="no heads"):
        open_served(Offer("bare", tmp_path), ServeLimits(), draft="self")


def test_a_file_is_answered_with_the_same_bytes_and_drafts_are_counted(chat_format: ChatFormat, tmp_path: Path) -> None:
    network = Decoder(small_config(multi_token=2, context=64), chat_format.tokenizer.get_vocab_size(), seed=1).eval().decoding()
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Ada walked"}\n{"prompt": "On day"}\n')
    asked, written = Answering(SamplingConfig(temperature=0.9, max_new_tokens=12), seed=4), []
    for draft in (None, network):
        answerer, ledger = Answerer(network, chat_format, asked, draft), Ledger(tmp_path / f"{draft is None}.jsonl", {})
        ledger.open(restart=False)
        list(answerer.answer(tmp_path / "prompts.jsonl", ledger))
        written.append(ledger.answers.read_bytes())
    assert written[0] == written[1] and answerer.proposed > 10

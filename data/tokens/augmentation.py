"""Augmentation of the text that a model trains on: other spellings in tokens, and other orders, in each pass over the documents.

The text itself does not change, so its bytes don't either. Everything drawn follows from (seed, pass, document) alone, whatever the
threads, the batches and the other documents. Validation and test are never augmented: `pack` asks for it in the training split only.

Other spellings of a text in the tokens of a fitted tokenizer, drawn at random: they teach a model that these are the same words.

| kind | how a word is spelled |
|---|---|
| byte_level_bpe, bpe | each merge that is possible is passed over with probability `merge_dropout` (Provilkov et al. 2020, BPE-dropout) |
| unigram | a segmentation with a probability in proportion to its own to the power `sampling_power` (Kudo 2018, subword regularization) |

Every spelling decodes to the text. Without dropout, or with a large power, it is the tokenizer's own.
Cost: plain Python, about 100 thousand words a second; every text is spelled anew in every pass.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from data.tokens.config import Augmentation
from data.tokens.documents import shuffle_key
from data.tokens.encoder import TokenizerError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from data.tokens.encoder import Ids, TextEncoder

Spell = Callable[[str, Random], list[int]]  # (a text or word, a random generator) -> ids
UNKNOWN_PENALTY = 10.0  # below the least likely piece, in nats: what the library charges for a character without a piece


def respeller(tokenizer: Tokenizer, config: Augmentation) -> Spell:
    """Return what spells a text. Raise TokenizerError, naming the setting, for a tokenizer that has one spelling only."""
    model = json.loads(tokenizer.to_str())["model"]
    word: Spell
    if config.merge_dropout:
        if model["type"] != "BPE" or not model["merges"]:
            raise TokenizerError("augment.merge_dropout needs a tokenizer that merges: kind byte_level_bpe or bpe; set it to 0")
        word = MergeDropout(model, config.merge_dropout)
    else:
        if model["type"] != "Unigram":
            raise TokenizerError("augment.sampling_power needs a tokenizer of kind unigram; set it to 0")
        word = SegmentSampling(model, config.sampling_power)
    splitter = tokenizer.pre_tokenizer

    def spell(text: str, random: Random) -> list[int]:
        return [index for part, _ in splitter.pre_tokenize_str(text) for index in word(part, random)]

    return spell


class MergeDropout:
    """BPE that skips merges at random (BPE dropout)."""

    def __init__(self, model: Mapping[str, Any], dropout: float) -> None:
        self._vocabulary: dict[str, int] = model["vocab"]
        self._ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
        self._dropout = dropout

    def __call__(self, word: str, random: Random) -> list[int]:
        """Return the ids of a word."""
        symbols = [symbol for character in word for symbol in _characters(character, self._vocabulary)]
        while True:
            best, at = len(self._ranks), -1
            for place in range(len(symbols) - 1):
                rank = self._ranks.get((symbols[place], symbols[place + 1]))
                if rank is not None and random.random() >= self._dropout and rank < best:
                    best, at = rank, place
            if at < 0:
                return [self._vocabulary[symbol] for symbol in symbols]
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]


class SegmentSampling:
    """A unigram model whose segmentations are drawn, by filtering forwards and sampling backwards."""

    def __init__(self, model: Mapping[str, Any], power: float) -> None:
        pieces: Sequence[tuple[str, float]] = model["vocab"]
        # Special tokens and bytes come first, with a score of 0 that is not a log probability: text has no such pieces.
        scored = [(piece, score, index) for index, (piece, score) in enumerate(pieces) if score < 0]
        self._vocabulary = {piece: index for index, (piece, _) in enumerate(pieces)}
        self._pieces = {piece: (power * score, index) for piece, score, index in scored}
        self._longest = max((len(piece) for piece in self._pieces), default=1)
        least = min((score for _, score, _ in scored), default=0.0)
        self._unknown = power * (least - UNKNOWN_PENALTY)

    def __call__(self, word: str, random: Random) -> list[int]:
        """Return the ids of a word."""
        arcs: list[list[tuple[int, float, list[int]]]] = [[]]  # for each end: begin, summed weight up to the end through it, ids
        total = [0.0]
        for end in range(1, len(word) + 1):
            found = []
            for begin in range(max(0, end - self._longest), end):
                known = self._pieces.get(word[begin:end])
                if known is not None:
                    found.append((begin, total[begin] + known[0], [known[1]]))
            if word[end - 1] not in self._pieces:
                ids = [self._vocabulary[symbol] for symbol in _characters(word[end - 1], {})]
                found.append((end - 1, total[end - 1] + self._unknown, ids))
            arcs.append(found)
            largest = max(weight for _, weight, _ in found)
            total.append(largest + math.log(sum(math.exp(weight - largest) for _, weight, _ in found)))
        spelled: list[list[int]] = []
        end = len(word)
        while end:
            point = random.random()
            begin, ids = arcs[end][-1][0], arcs[end][-1][2]
            for start, weight, those in arcs[end]:
                point -= math.exp(weight - total[end])
                if point < 0:
                    begin, ids = start, those
                    break
            spelled.append(ids)
            end = begin
        return [index for ids in reversed(spelled) for index in ids]


def _characters(character: str, vocabulary: Mapping[str, int]) -> list[str]:
    """Return a character as the vocabulary has it: itself, or its UTF-8 bytes."""
    return [character] if character in vocabulary else [f"<0x{byte:02X}>" for byte in character.encode()]


_BREAK = re.compile(r"(\n[ \t\r]*\n\s*)")


class Augmenter:
    """Draws a new spelling of each document in each pass. Raise TokenizerError if the tokenizer has only one."""

    def __init__(self, config: Augmentation, encoder: TextEncoder, seed: int) -> None:
        self.passes, self._config, self._encoder, self._seed = config.passes, config, encoder, seed
        self._spell = respeller(encoder.tokenizer, config) if config.respells else None

    @property
    def rewrites(self) -> bool:
        """Whether a document differs from pass to pass, and not its place alone."""
        return self._config.respells or self._config.paragraphs

    def order_key(self, turn: int, identity: str) -> tuple[int, str]:
        """Return what sorting documents by shuffles them for a pass; the first pass has the order of rows without augmentation."""
        return shuffle_key(self._seed, *(("pass", turn) if turn else ()), identity), identity

    def encode(self, turn: int, documents: Iterator[tuple[str, str]]) -> Iterator[Ids]:
        """Yield the ids of each document (id, text) as pass number `turn` writes it."""
        if self._spell is None:
            yield from self._encoder.encode(self._arranged(turn, identity, text) for identity, text in documents)
            return
        for identity, text in documents:
            random = self._random("spelling", turn, identity)
            yield np.array(self._spell(self._arranged(turn, identity, text), random), dtype=self._encoder.dtype)

    def _arranged(self, turn: int, identity: str, text: str) -> str:
        """Return the text with its paragraphs in another order; what separates them stays where it is."""
        if not self._config.paragraphs:
            return text
        parts = _BREAK.split(text)
        paragraphs = parts[::2]
        self._random("paragraphs", turn, identity).shuffle(paragraphs)
        parts[::2] = paragraphs
        return "".join(parts)

    def _random(self, *parts: object) -> Random:
        return Random(shuffle_key(self._seed, *parts))

"""Rebuild SentencePiece's BPE with merges for the library `tokenizers`, from the pieces and scores in a GGUF file.

Two neighbours are joined where the joined piece has the best score. So a merge is any way to form a piece from two others, and
merges are ordered by the score of their result, ties by the length of their parts, as transformers converts such a vocabulary.
Text outside all pieces becomes UTF-8 bytes. A space is written as U+2581, and by default one is put before every text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model.opening.gguf.metadata import GgufFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "\u2581"


def sentencepiece_tokenizer(file: GgufFile) -> Tokenizer:
    """Return the tokenizer of a file whose tokens have scores."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    tokens, scores = file.need("tokenizer.ggml.tokens"), file.need("tokenizer.ggml.scores")
    unknown = tokens[file.get("tokenizer.ggml.unknown_token_id", 0)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = merges_of(vocabulary, scores)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    spaced = file.get("tokenizer.ggml.add_space_prefix", True)
    before: list[Any] = [normalizers.Prepend(SPACE)] if spaced else []
    tokenizer.normalizer = normalizers.Sequence([*before, normalizers.Replace(" ", SPACE)])
    after: list[Any] = [decoders.Strip(" ", 1, 0)] if spaced else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *after])
    return tokenizer


def merges_of(vocabulary: dict[str, int], scores: list[float]) -> list[tuple[str, str]]:
    """Return every pair of pieces whose joined text is a piece, best first."""
    found: list[tuple[float, int, int, int, int, str, str]] = []
    for piece, number in vocabulary.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in vocabulary and right in vocabulary:
                found.append((-scores[number], -len(left), -len(right), vocabulary[left], vocabulary[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]

"""The tokenizer of a GGUF file, as the files of a Hugging Face tokenizer: rebuilt from the metadata, which hold vocabulary and merges.

The file gives only the name of the rule that splits text into words, so known names are read and others refused,
since another rule would give other tokens.

Rebuild SentencePiece's BPE with merges for the library `tokenizers`, from the pieces and scores in a GGUF file.

Two neighbours are joined where the joined piece has the best score. So a merge is any way to form a piece from two others, and
merges are ordered by the score of their result, ties by the length of their parts, as transformers converts such a vocabulary.
Text outside all pieces becomes UTF-8 bytes. A space is written as U+2581, and by default one is put before every text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.networks.base import ModelError
from model.opening.gguf.metadata import GgufFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import PreTokenizer

_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
# The regular expression for each name, which splits text before merging; empty: GPT-2's, which the library has.
SPLITS = {
    **dict.fromkeys(("gpt-2", "smollm"), ""),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "smaug-bpe"), rf"{_WORDS}|\p{{N}}{{1,3}}|{_MARKS}|{_SPACES}"),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), rf"{_WORDS}|\p{{N}}|{_MARKS}|{_SPACES}"),
    "tekken": rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}",
}
BY_PATTERN = {pattern: name for name, pattern in reversed(SPLITS.items()) if pattern}
"""The first name of each regular expression."""


SPACE = "\u2581"
LONGEST, MOST_CHARACTERS = 1_024, 8_000_000
"""Characters of one piece and of all, each of which is tried as a place to cut. Llama 2's 32,000 pieces have 220,000."""


def sentencepiece_tokenizer(file: GgufFile) -> Tokenizer:
    """Return the tokenizer of a file whose tokens have scores."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    tokens, scores = file.need("tokenizer.ggml.tokens"), file.need("tokenizer.ggml.scores")
    unknown = tokens[file.get("tokenizer.ggml.unknown_token_id", 0)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if max(map(len, tokens)) > LONGEST or sum(map(len, tokens)) > MOST_CHARACTERS or len(scores) != len(tokens):
        raise ModelError(
            f"{file.path}: tokenizer.ggml.tokens has {len(tokens):,} pieces of {sum(map(len, tokens)):,} characters, the longest of "
            f"{max(map(len, tokens)):,}, with {len(scores):,} scores; a score each, {LONGEST:,} and {MOST_CHARACTERS:,} characters are read"
        )
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


UNKNOWN, CONTROL, OWN = 2, 3, 4  # kinds of tokens: for what has none, of the format, and words that are never split
SINGLE_DIGITS = ("smollm",)
WHOLE_WORDS_FIRST = ("llama-bpe", "llama3", "llama-v3", "tekken")
BEGIN_TEXTS = WHOLE_WORDS_FIRST
"""Rules whose tokenizers put the begin token before a text unless a file says otherwise, as llama.cpp has it."""
NORMALIZED = ("qwen2", "deepseek-r1-qwen")


def write_tokenizer(file: GgufFile, directory: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json, special_tokens_map.json and, if the file has one, chat_template.jinja."""
    tokenizer, vocabulary = _tokenizer(file), file.need("tokenizer.ggml.tokens")
    tokenizer.save(str(directory / "tokenizer.json"))
    names: dict[str, str] = {}
    for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        if (number := file.get(f"tokenizer.ggml.{theirs}_token_id")) is not None:
            names[f"{ours}_token"] = vocabulary[number]
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **names, "clean_up_tokenization_spaces": False}
    config["model_max_length"] = file.need(f"{file.name}.context_length")
    for name, value in (("tokenizer_config.json", config), ("special_tokens_map.json", names)):
        (directory / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if template := file.get("tokenizer.chat_template"):
        (directory / "chat_template.jinja").write_text(template, encoding="utf-8")


def _tokenizer(file: GgufFile) -> Tokenizer:
    from tokenizers import AddedToken

    kind = file.need("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise ModelError(
            f"{file.path}: its tokenizer is of model {kind!r}; gpt2 (byte-level BPE) and llama (SentencePiece's BPE) can be rebuilt; take "
            "the model as a Hugging Face directory, which has its tokenizer.json"
        )
    tokenizer = _byte_level(file) if kind == "gpt2" else sentencepiece_tokenizer(file)
    tokens: list[str] = file.need("tokenizer.ggml.tokens")
    kinds = file.get("tokenizer.ggml.token_type") or [1] * len(tokens)
    special = [t for t, k in zip(tokens, kinds, strict=True) if k in (UNKNOWN, CONTROL)]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, kinds, strict=True) if k == OWN])
    if file.get("tokenizer.ggml.add_bos_token", kind == "llama" or file.get("tokenizer.ggml.pre") in BEGIN_TEXTS):
        tokenizer.post_processor = _beginning(tokens[file.need("tokenizer.ggml.bos_token_id")], file.need("tokenizer.ggml.bos_token_id"))
    return tokenizer


def _byte_level(file: GgufFile) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers

    name = file.get("tokenizer.ggml.pre", "default")
    if name == "default" and file.name == "gpt2":
        name = "gpt-2"
    if name not in SPLITS:
        raise ModelError(
            f"{file.path}: its tokenizer splits text by the rule {name!r}; those that are known are {', '.join(SPLITS)}; take the model as "
            "a Hugging Face directory"
        )
    tokens: list[str] = file.need("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in file.need("tokenizer.ggml.merges")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=name in WHOLE_WORDS_FIRST))
    tokenizer.pre_tokenizer = _splitter(name)
    tokenizer.decoder = decoders.ByteLevel()
    if name in NORMALIZED:
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _splitter(name: str) -> PreTokenizer:
    from tokenizers import Regex, pre_tokenizers

    pattern = SPLITS[name]
    parts: list[PreTokenizer] = [pre_tokenizers.Digits(individual_digits=True)] if name in SINGLE_DIGITS else []
    if pattern:
        parts.append(pre_tokenizers.Split(Regex(pattern), behavior="isolated"))
    parts.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern))
    return parts[0] if len(parts) == 1 else pre_tokenizers.Sequence(parts)


def _beginning(token: str, number: int) -> Any:
    from tokenizers import processors

    return processors.TemplateProcessing(single=f"{token}:0 $A:0", pair=f"{token}:0 $A:0 {token}:1 $B:1", special_tokens=[(token, number)])

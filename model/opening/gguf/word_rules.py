"""The rules by which byte-level tokenizers split text into words, under llama.cpp's names."""

from __future__ import annotations

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

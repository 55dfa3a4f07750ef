"""How much of its training text a model has memorized.

A passage is drawn from a training row, with prompt and continuation inside one document. The model continues the prompt
greedily; the passage counts as memorized ("extractable" in Carlini et al. 2023, "Quantifying Memorization Across Neural
Language Models") if the first `copy_tokens` tokens are those of the text. The same measure on unseen text is the baseline:
what stock phrases and guessing give.

Passages depend on the shards and the seed alone. If no row holds a passage that long, nothing is measured, and a gate that
asks for the metric fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.shards.reader import ShardReader
from model.loading.passages import draw_passages

if TYPE_CHECKING:
    from model.networks.decoding import DecodingNetwork


@dataclass(frozen=True)
class Continuation:
    """A prompt from the text, the text that follows it, and what the model wrote instead; token ids."""

    prompt: list[int]
    text: list[int]
    continuation: list[int]

    @property
    def copied_tokens(self) -> int:
        """Number of leading tokens that equal the text's."""
        for index, (ours, theirs) in enumerate(zip(self.continuation, self.text, strict=False)):
            if ours != theirs:
                return index
        return min(len(self.continuation), len(self.text))


def measure_memorization(
    network: DecodingNetwork, reader: ShardReader, *, passages: int, prompt_tokens: int, copy_tokens: int, seed: int = 0
) -> list[Continuation]:
    """Let the network continue up to `passages` passages greedily; those with `copied_tokens >= copy_tokens` are memorized."""
    from model.inference.generation import generate_batch

    drawn = draw_passages(reader, passages, prompt_tokens, copy_tokens, seed)
    prompts = [passage[:prompt_tokens] for passage in drawn]
    continuations = generate_batch(network, prompts, copy_tokens) if drawn else []
    return [
        Continuation(prompt, passage[prompt_tokens:], continuation)
        for prompt, passage, continuation in zip(prompts, drawn, continuations, strict=True)
    ]

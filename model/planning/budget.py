"""How many parameters and training tokens fit an amount of text and the hours."""

from __future__ import annotations

import math
from dataclasses import dataclass

from model.planning import rules
from model.planning.amounts import short
from model.planning.machine import Machine

MIN_PARAMETERS = 100_000
SHORTEST = rules.TOKENS_PER_PARAMETER * MIN_PARAMETERS  # tokens: of however little text, what the smallest model needs to learn it


@dataclass(frozen=True)
class Budget:
    """A number of parameters and of training tokens, and what limits them."""

    parameters: float
    tokens: float
    reason: str


def fitting(tokens: float, machine: Machine, hours: float | None) -> Budget:
    """Return how many parameters and training tokens fit `tokens` of different text and the hours; None: as long as the text is worth.

    Where text is plenty, 20 tokens for each parameter. Where it is scarce, four epochs for as large a model as the hours allow, up to the
    largest that is worth training on so little; hours that are left then go into more epochs.
    """
    largest = rules.largest_for(tokens)
    scarce = largest * rules.TOKENS_PER_PARAMETER > rules.GOOD_EPOCHS * tokens * 1.01
    longest = max(rules.MOST_EPOCHS * tokens, SHORTEST) if scarce else rules.GOOD_EPOCHS * tokens
    reason = f"the largest that is worth training on {short(tokens)} tokens of different text"
    if largest < MIN_PARAMETERS:
        largest, reason = MIN_PARAMETERS, f"the smallest that is proposed; {short(tokens)} tokens of different text are enough for less"
    elif not scarce:
        reason = f"{rules.TOKENS_PER_PARAMETER} tokens per parameter from {rules.GOOD_EPOCHS} epochs of the text"
    if hours is None:
        return Budget(largest, longest, reason)
    # Six operations per weight and token. Attention takes more, about a fifth in small models; hence the 0.9, found by trial and error.
    products = 0.9 * hours * 3600 * machine.flops / 6
    balanced = math.sqrt(products / rules.TOKENS_PER_PARAMETER)
    if rules.TOKENS_PER_PARAMETER * balanced < rules.GOOD_EPOCHS * tokens:
        size = max(MIN_PARAMETERS, balanced)
        within = f"{rules.TOKENS_PER_PARAMETER} tokens per parameter within {_duration(hours)}"
        return Budget(size, rules.TOKENS_PER_PARAMETER * size, within)
    size = min(largest, max(MIN_PARAMETERS, products / (rules.GOOD_EPOCHS * tokens)))
    if size < largest:
        reason = f"{rules.GOOD_EPOCHS} epochs of the text within {_duration(hours)}"
    return Budget(size, min(longest, max(rules.GOOD_EPOCHS * tokens, products / size)), reason)


def _duration(hours: float) -> str:
    return f"{hours:g} hours" if hours >= 1 else f"{hours * 60:g} minutes"

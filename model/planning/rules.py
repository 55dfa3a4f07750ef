"""The rules of thumb that a proposal follows, each with its source; and the amounts and budget that they work with.

The published ones were fitted on runs far larger than a book: below about 1e17 operations they are extrapolations, good for the order of
magnitude. Where folio's own small runs said otherwise, its own rule stands, and joins the published one where text is plenty."""

from __future__ import annotations

import math
from dataclasses import dataclass

from model.networks.config import NetworkConfig
from model.networks.meta import count_parameters
from model.planning.machine import Machine


def short(number: float) -> str:
    """Shorten a number: `1234567` -> `1.23 M`."""
    for scale, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number:.3g}"


def speed(flops: float) -> str:
    """Format operations per second: `174e9` -> `174 GFLOP/s`."""
    for scale, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G")):
        if flops >= scale:
            return f"{flops / scale:.4g} {unit}FLOP/s"
    return f"{flops / 1e6:.3g} MFLOP/s"


def gibibytes(size: float) -> str:
    """Format bytes in binary units."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


TOKENS_PER_PARAMETER = 20  # Hoffmann et al. 2022, "Training compute-optimal large language models"
GOOD_EPOCHS = 4  # Muennighoff et al. 2023, "Scaling data-constrained language models": up to here, repeated text is nearly as good as new
HALF_LIFE = 15.4  # the same, their R*: epochs after which repeating is worth little
# Text from which 20 tokens for each parameter and four epochs are best together; of less, a larger model learns more (`largest_for`).
PLENTY = 1e8  # tokens
SCARCE_EXPONENT = 0.5
MOST_EPOCHS = 10  # of scarce text; the best weights on held-out text are kept
# Weight decay where text is read again and again: Kim et al. 2025, "Pre-training under infinite compute", found some thirty times the usual
# best for scarce text; of folio's own runs of six novels, read eight times, ten times the usual. Dropout beside it helped with essays, read
# eleven times, and costs a third of the speed.
SCARCE_WEIGHT_DECAY, SCARCE_DROPOUT = 1.0, 0.1
VOCABULARIES = ((65536, 20e9), (32768, 1e9), (16384, 1e8), (8192, 2e7), (4096, 4e6), (2048, 5e5), (1024, 1e5))
MAX_EMBEDDED_SHARE = 1 / 2
# Bytes of English prose in a token of a byte-level BPE fitted to it: means of six novels, twenty plays and 500 notes; the last is a guess.
BYTES_PER_TOKEN = {512: 2.1, 1024: 2.65, 2048: 3.15, 4096: 3.6, 8192: 4.0, 16384: 4.3, 65536: 4.5}


def effective_epochs(epochs: float) -> float:
    """Return how many epochs of new text `epochs` of the same text are worth: 1 + R* (1 - exp(-(epochs - 1) / R*)).

    Muennighoff et al. 2023, equation 5, in units of the unique tokens; in the first epoch every token is new.
    """
    return epochs if epochs <= 1 else 1 + HALF_LIFE * (1 - math.exp(-(epochs - 1) / HALF_LIFE))


def bytes_per_token(vocab_size: int) -> float:
    """Return the bytes of English prose in a token of a vocabulary of that size, between the measured sizes by their logarithm."""
    import numpy as np

    return float(np.interp(math.log(vocab_size), np.log(list(BYTES_PER_TOKEN)), list(BYTES_PER_TOKEN.values())))


def largest_for(tokens: float) -> float:
    """Return how many parameters are worth training on `tokens` of different text.

    Four epochs of plenty give 20 tokens to each. Of less text a larger model still learns more from the same epochs, so the ratio grows as
    text gets scarce: folio's own rule, fitted to what models of two and three sizes made of 500 notes, of a part of a book and of six
    novels, and to the size of `classics`.
    """
    return GOOD_EPOCHS * tokens / TOKENS_PER_PARAMETER * math.pow(max(1.0, PLENTY / tokens), SCARCE_EXPONENT)


def learning_rate(flops: float) -> float:
    """Return AdamW's peak learning rate for a run of `flops` operations: 0.3118 C^-0.125 (DeepSeek-AI 2024, "DeepSeek LLM")."""
    return 0.3118 * math.pow(flops, -0.1250)


def batch_tokens(flops: float) -> float:
    """Return the tokens in a batch for a run of `flops` operations: 0.292 C^0.3271 (DeepSeek-AI 2024, "DeepSeek LLM")."""
    return 0.2920 * math.pow(flops, 0.3271)


def vocabulary_of(text_bytes: float) -> int:
    """Return the largest vocabulary that is worth fitting to an amount of text, as rare tokens are never learned."""
    return next((size for size, least in VOCABULARIES if text_bytes >= least), 512)


def vocabulary_for(text_bytes: float, parameters: float, width: int) -> int:
    """Return a vocabulary size for the amount of text; embeddings take at most half of the parameters.

    folio's own rule: fitted to its tuned recipes and extended to the vocabularies of GPT-2 (50k) and Llama 2 (32k).
    """
    by_text = vocabulary_of(text_bytes)
    while by_text > 512 and by_text * width > MAX_EMBEDDED_SHARE * parameters:
        by_text //= 2
    return by_text


def shape_for(parameters: float, vocab_size: int, like: NetworkConfig) -> NetworkConfig:
    """Return a network of about `parameters` parameters, embeddings included; context and every other choice as in `like`.

    Width / layers grows from 32 to 128, about as in GPT-3's table 2.1 (Brown et al. 2020; Kaplan et al. 2020 found that it matters little).
    Every other size follows from the width as the network's kind says. Raise ValueError for a kind that has no such rule.
    """
    aspect = min(128.0, 32 * max(1.0, (parameters / 1e7) ** 0.22))
    candidates = sorted(
        (0.3 * abs(math.log(width / layers / aspect)), layers, width) for layers in range(2, 129) for width in _widths(layers, aspect, like)
    )
    found: tuple[float, NetworkConfig] | None = None
    for unlikely, layers, width in candidates:
        if found is not None and unlikely >= found[0]:
            break  # no later one can come closer
        shape = like.resized(width, layers)
        error = abs(math.log(count_parameters(shape, vocab_size) / parameters)) + unlikely
        if found is None or error < found[0]:
            found = error, shape
    assert found is not None
    return found[1]


def _widths(layers: int, aspect: float, like: NetworkConfig) -> range:
    step = like.width_step(round(layers * aspect))
    low = max(step, math.floor(0.5 * layers * aspect / step) * step)
    return range(low, math.ceil(2 * layers * aspect / step) * step + 1, step)


MIN_PARAMETERS = 100_000
SHORTEST = TOKENS_PER_PARAMETER * MIN_PARAMETERS  # tokens: of however little text, what the smallest model needs to learn it


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
    largest = largest_for(tokens)
    scarce = largest * TOKENS_PER_PARAMETER > GOOD_EPOCHS * tokens * 1.01
    longest = max(MOST_EPOCHS * tokens, SHORTEST) if scarce else GOOD_EPOCHS * tokens
    reason = f"the largest that is worth training on {short(tokens)} tokens of different text"
    if largest < MIN_PARAMETERS:
        largest, reason = MIN_PARAMETERS, f"the smallest that is proposed; {short(tokens)} tokens of different text are enough for less"
    elif not scarce:
        reason = f"{TOKENS_PER_PARAMETER} tokens per parameter from {GOOD_EPOCHS} epochs of the text"
    if hours is None:
        return Budget(largest, longest, reason)
    # Six operations per weight and token. Attention takes more, about a fifth in small models; hence the 0.9, found by trial and error.
    products = 0.9 * hours * 3600 * machine.flops / 6
    balanced = math.sqrt(products / TOKENS_PER_PARAMETER)
    if TOKENS_PER_PARAMETER * balanced < GOOD_EPOCHS * tokens:
        size = max(MIN_PARAMETERS, balanced)
        within = f"{TOKENS_PER_PARAMETER} tokens per parameter within {_duration(hours)}"
        return Budget(size, TOKENS_PER_PARAMETER * size, within)
    size = min(largest, max(MIN_PARAMETERS, products / (GOOD_EPOCHS * tokens)))
    if size < largest:
        reason = f"{GOOD_EPOCHS} epochs of the text within {_duration(hours)}"
    return Budget(size, min(longest, max(GOOD_EPOCHS * tokens, products / size)), reason)


def _duration(hours: float) -> str:
    return f"{hours:g} hours" if hours >= 1 else f"{hours * 60:g} minutes"

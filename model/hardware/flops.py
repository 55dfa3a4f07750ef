"""How many operations training takes, counted from the network itself. An addition and a multiplication are two operations.

Torch counts the matrix products of one forward pass over fake tensors, which have no data. A token's cost that is constant in row length is
products with weights; the cost that grows with it is attention. A backward pass takes twice as many. So a decoder's numbers are
those usual in the field: six operations per weight and token (Kaplan et al. 2020, "Scaling laws for neural language models", section 2.1),
and 12 L A T for attention, with L layers of A = heads x head width over T tokens of context (Chowdhery et al. 2022, "PaLM", appendix B,
which defines MFU: these operations per second, as a share of a device's peak). Causal attention is counted in full, as there; a pattern
that hides tokens counts the most that a token attends to. Heads that predict further ahead count, too. Recomputing activations takes time
but does not count as the model's operations, so it lowers MFU. Norms' gains and biases are not matrix products and not counted.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.networks.base import NetworkBase
from model.networks.meta import example_inputs, fake_network

LONGEST = 64  # tokens of a row that operations are counted in


def product_weights(config: NetworkBase, vocab_size: int) -> float:
    """Count the weights that every token is multiplied with: not lookup tables. A tied embedding is also the output matrix."""
    return _forward_per_token(config, vocab_size)[0] / 2


def attention_flops(config: NetworkBase, vocab_size: int) -> float:
    """Operations of attention's products for one trained token: 12 L A T, where T is at most what a pattern lets it attend to."""
    return 3 * _forward_per_token(config, vocab_size)[1] * config.attended


def training_flops(config: NetworkBase, vocab_size: int) -> float:
    """Operations of the forward and backward pass for one token; 0 for a network that is counted, which multiplies nothing."""
    if config.counted:
        return 0.0
    return 6 * product_weights(config, vocab_size) + attention_flops(config, vocab_size)


def utilization(config: NetworkBase, vocab_size: int, tokens_per_second: float, peak: float) -> float:
    """Return the MFU of a training speed, 0 to 1; `peak`: operations per second of all devices together."""
    return tokens_per_second * training_flops(config, vocab_size) / peak


@lru_cache(maxsize=1024)
def _forward_per_token(config: NetworkBase, vocab_size: int) -> tuple[float, float]:
    """Return a token's operations of a forward pass: in a row of any length, and those more for each token of the row."""
    # Two lengths tell the straight line, and short ones are counted sooner where tokens are computed one after the other.
    long = min(config.context, LONGEST)
    short = long // 2
    in_short, in_long = (_forward_flops(config, vocab_size, length) / length for length in (short, long))
    growing = (in_long - in_short) / (long - short)
    return in_short - growing * short, growing


def _forward_flops(config: NetworkBase, vocab_size: int, length: int) -> int:
    """Count the operations of a forward pass of one row."""
    counts = Counter[int]()
    # Fused attention kernels of a CPU have no entry in torch's table of operations; as plain products they are counted in full.
    counter = FlopCounterMode(display=False)
    quiet = warnings.catch_warnings(action="ignore")  # of Intel GPUs, at the next line
    plain = torch.backends.mkldnn.flags(enabled=False)  # oneDNN's LSTM has no entry either; torch's own is plain products
    with fake_network(config.shallow, vocab_size) as network, torch.no_grad(), sdpa_kernel(SDPBackend.MATH), quiet, plain, counter:
        blocks = network.blocks()

        def count(sign: int, number: int) -> Callable[..., None]:
            return lambda *_: counts.update({number: sign * counter.get_total_flops()})

        for number, block in enumerate(blocks):
            block.register_forward_pre_hook(count(-1, number))
            block.register_forward_hook(count(1, number))
        for x_BTD in network.ahead(example_inputs(config, 1, length)):
            network.read(x_BTD)
    last_blocks = sum(counts[number] for number in range(len(blocks) - config.period * config.stacks, len(blocks)))
    return counter.get_total_flops() + last_blocks * ((config.layers - config.shallow.layers) // config.period)

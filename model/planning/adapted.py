"""What an update of an adapted network holds, counted on tensors without numbers.

An adapter freezes most weights, and may hold them in another form and make them anew for each product, so no formula from the network's
shape alone says what an update takes. Instead one is computed on fake tensors, of the network with its adapter, and every result counted
from its making to its end. Blocks repeat, so two depths give any: a network of billions takes a second or two.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple
from weakref import finalize, ref

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.adapters.config import AnyAdapter
from model.networks.base import NetworkBase
from model.networks.meta import example_inputs, meta_network
from model.objectives.next_token import NextToken
from model.objectives.protocol import POLICY
from model.training.precision import autocast


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's modes have no types
    """Inside, `peak` is the most that `add`ed tensors and all results held at once, in blocks of 512 bytes as the CUDA allocator's."""

    BLOCK = 512

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._seen: dict[int, ref[torch.UntypedStorage]] = {}

    def add(self, tensors: Any) -> None:
        """Count the storages of tensors that are not counted yet, until they are freed."""
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if (known := self._seen.get(storage._cdata)) is None or known() is not storage:
                    self._seen[storage._cdata] = ref(storage)
                    size = -(-storage.nbytes() // self.BLOCK) * self.BLOCK
                    self.now += size
                    finalize(storage, self._freed, size)
        self.peak = max(self.peak, self.now)

    def _freed(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.add(out)
        return out


BEYOND = 2  # periods of blocks more than the fewest


class Held(NamedTuple):
    """Bytes of an adapted network: its weights, of these what is trained, and what one pass forward and back holds besides.

    `passing` has the gradients of what is trained in it.
    """

    weights: int
    trained: int
    passing: int


@lru_cache(maxsize=64)
def adapted_update(
    config: NetworkBase, vocab_size: int, adapter: AnyAdapter, rows: int, products: str, *, packed: bool, recompute: bool
) -> Held:
    """Count an update of `rows` rows of `context` tokens under autocast to `products`; `packed`: a row holds several documents.

    Raise AdapterError if the network has nothing to adapt.
    """
    # Of the fewest blocks what is outside of them may hold more than they do, so that one more adds less than it does to many.
    least = config.shallow.layers + config.period * min(BEYOND, (config.layers - config.shallow.layers) // config.period)
    periods, rest = divmod(config.layers - least, config.period)
    assert not rest, "what is shallow lacks whole periods of blocks"
    depths = (least, least + config.period) if periods else (least,)
    held = [
        _counted(config.model_copy(update={"layers": layers}), vocab_size, adapter, rows, products, packed, recompute) for layers in depths
    ]
    few, more = held[0], held[-1]
    return Held(*(at_few + periods * (at_more - at_few) for at_few, at_more in zip(few, more, strict=True)))


def _counted(config: NetworkBase, vocab_size: int, adapter: AnyAdapter, rows: int, products: str, packed: bool, recompute: bool) -> Held:
    network = meta_network(config, vocab_size)
    adapter.build().inject(network, 0)
    network.recompute = recompute
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = network.to_empty(device="cpu").train()
        inputs = example_inputs(config, rows, config.context)
        batch = {**inputs, "targets": inputs["tokens"]} | ({"documents": inputs["tokens"]} if packed else {})
        live = LiveBytes()
        with live:
            live.add([*network.parameters(), *network.buffers()])
            weights = live.now
            with autocast("cpu", products):
                (nats,) = NextToken().sums({POLICY: network}, batch)
            nats.backward()
    trained = sum(parameter.nbytes for parameter in network.parameters() if parameter.requires_grad)
    return Held(weights, trained, live.peak - weights)

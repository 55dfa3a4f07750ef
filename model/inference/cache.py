"""The key-value cache: what attention computed for earlier tokens, kept so that each token is computed once.

Guarantee: logits with the cache are those of a forward pass over the whole sequence, to rounding.
Cost: 2 x layers x kv_heads x head_width numbers a token and row, or layers x (latent_width + rotary width) with latent attention,
taken in blocks that double, so that growing copies each entry about once on average. A sliding window keeps what it no longer sees.
When it can't: a layer fed out of turn, or other batch sizes than before, raise ValueError.

Every row of a batch holds the same number of tokens; nothing is padded (see `batch_generation.py` for prompts of unequal length).
"""

from __future__ import annotations

from torch import Tensor

FIRST_BLOCK = 64


class KeyValueCache:
    """Keys and values of `layers` layers, shapes [batch, kv_heads, time, head_width] (B, G, T, K); values may be empty (K = 0)."""

    def __init__(self, layers: int) -> None:
        if layers < 1:
            raise ValueError(f"layers={layers}: a cache serves one layer or more")
        self.layers = layers
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._held = [0] * layers
        # Tokens held when the current forward pass began. It moves when the last layer has been given its part, so
        # that every layer of one pass reads the same number.
        self.length = 0

    def update(self, layer: int, k_BGTK: Tensor, v_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """Append one layer's new keys and values; returns all of them, [batch, kv_heads, length + new, head_width].

        What is returned are views into the cache: read them before the next update of that layer.
        """
        start = self._held[layer]
        if start != self.length:
            raise ValueError(f"layer {layer} holds {start} tokens and the pass began at {self.length}: fed out of turn")
        end = start + k_BGTK.shape[2]
        keys = self._keys[layer] = _with_room(self._keys[layer], k_BGTK, start, end)
        values = self._values[layer] = _with_room(self._values[layer], v_BGTK, start, end)
        keys[:, :, start:end] = k_BGTK
        values[:, :, start:end] = v_BGTK
        self._held[layer] = end
        if layer == self.layers - 1:
            self.length = end
        return keys[:, :, :end], values[:, :, :end]

    def keep_rows(self, rows: Tensor) -> None:
        """Keep only these rows of the batch (int64 [rows kept]), in this order: for rows that are finished."""
        for held in (self._keys, self._values):
            for layer, tensor in enumerate(held):
                held[layer] = None if tensor is None else tensor.index_select(0, rows)


def _with_room(held: Tensor | None, new_BGTK: Tensor, start: int, end: int) -> Tensor:
    """A block with room for `end` tokens that holds the first `start` of `held`."""
    batch, heads, _, dim = new_BGTK.shape
    if held is not None and (held.shape[0], held.shape[1], held.shape[3]) != (batch, heads, dim):
        raise ValueError(f"the cache holds {tuple(held.shape)} and was given {tuple(new_BGTK.shape)}: another batch")
    if held is not None and end <= held.shape[2]:
        return held
    block = new_BGTK.new_empty((batch, heads, max(FIRST_BLOCK, 1 << (end - 1).bit_length()), dim))
    if held is not None:
        block[:, :, :start] = held[:, :, :start]
    return block

"""The key-value cache: keys and values of earlier tokens, so that each token is computed once.

Logits with the cache equal those of a forward pass over the whole sequence, to rounding. Every row of a batch holds the same number of
tokens, without padding (see `batch_generation.py` for prompts of unequal length).

Cost: 2 x layers x kv_heads x head_width numbers for each token and row, or layers x (latent_width + rotary_width) with latent attention.
Storage doubles when full, so growing copies each entry about once on average. Tokens that a sliding window no longer sees are kept.
"""

from __future__ import annotations

from torch import Tensor

FIRST_BLOCK = 64


class KeyValueCache:
    """Keys and values of each layer, [batch, kv_heads, time, head_width] (B, G, T, K); values may be empty (K = 0)."""

    def __init__(self, layers: int) -> None:
        if layers < 1:
            raise ValueError(f"layers={layers}: a cache needs at least one layer")
        self.layers = layers
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._lengths = [0] * layers
        # Tokens held when the current forward pass began. It advances after the last layer, so that every layer of a pass
        # reads the same number.
        self.length = 0

    def update(self, layer: int, k_BGTK: Tensor, v_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """Append one layer's new keys and values; return all of them, [B, G, length + T, K].

        The result is a view into the cache, valid until the layer's next update. Raise ValueError if a layer is updated twice in one
        forward pass, or with another batch size than before.
        """
        start = self._lengths[layer]
        if start != self.length:
            raise ValueError(f"layer {layer} holds {start} tokens but the forward pass began at {self.length}: it was updated out of turn")
        end = start + k_BGTK.shape[2]
        keys = self._keys[layer] = _reserve(self._keys[layer], k_BGTK, start, end)
        values = self._values[layer] = _reserve(self._values[layer], v_BGTK, start, end)
        keys[:, :, start:end] = k_BGTK
        values[:, :, start:end] = v_BGTK
        self._lengths[layer] = end
        if layer == self.layers - 1:
            self.length = end
        return keys[:, :, :end], values[:, :, :end]

    def keep_rows(self, rows: Tensor) -> None:
        """Keep only these rows of the batch (int64 [rows kept]), in this order; drops rows that are finished."""
        for stored in (self._keys, self._values):
            for layer, tensor in enumerate(stored):
                stored[layer] = None if tensor is None else tensor.index_select(0, rows)


def _reserve(stored: Tensor | None, new_BGTK: Tensor, start: int, end: int) -> Tensor:
    """Return storage for at least `end` tokens that holds the first `start` of `stored`."""
    batch, heads, _, dim = new_BGTK.shape
    if stored is not None and (stored.shape[0], stored.shape[1], stored.shape[3]) != (batch, heads, dim):
        raise ValueError(f"the cache holds {tuple(stored.shape)} but was given {tuple(new_BGTK.shape)}: this is another batch")
    if stored is not None and end <= stored.shape[2]:
        return stored
    block = new_BGTK.new_empty((batch, heads, max(FIRST_BLOCK, 1 << (end - 1).bit_length()), dim))
    if stored is not None:
        block[:, :, :start] = stored[:, :, :start]
    return block

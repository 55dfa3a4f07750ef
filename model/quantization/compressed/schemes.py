"""How weights are stored in groups, as the library's scheme."""

from __future__ import annotations

from typing import Any


def groups(bits: int, size: int, *, symmetric: bool) -> dict[str, Any]:
    """Return the scheme of all linear layers: integers of `bits`, with one scale for each `size` neighbouring inputs of a row."""
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weights = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy="group", group_size=size)
    return {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}

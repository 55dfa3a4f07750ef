"""QLoRA (Dettmers et al., 2023): low-rank changes of a base whose matrices are held in four bits a weight and unpacked for each product.

    y = unpack(W4) x + alpha / rank x B (A x)

Only the storage of the frozen base differs from LoRA: every matrix inside the blocks takes an eighth of its fp32 bytes, with its scales a
seventh. The adapter also compensates for the rounding, so it belongs to the rounded base: `merged` returns the unpacked base with the
changes added, exactly, and the saved file, in peft's format, is for that base. Cost in a step: unpacking each matrix in each pass.

Four-bit formats for a frozen matrix: the INT4 of release variants, and NF4.

NF4 (Dettmers et al., 2023, appendix E): sixteen values at equal steps of probability of the normal distribution, one of them 0, the
outermost -1 and 1. A group of neighbouring inputs of a row is divided by its largest magnitude, a bfloat16, and each weight is stored as
the nearest of the sixteen. Normally distributed weights lose less than by INT4 at equal size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from pydantic import Field

from model.adapters.lora import LoraAdapter, LoraSettings, peft_settings
from model.networks.tensor_files import Lazy, LazyTensors
from model.quantization.integers import ZERO, GroupCodec, pack_pairs, unpack_pairs
from model.quantization.weight_only import finite_fp32

if TYPE_CHECKING:
    from torch import Size, Tensor, nn

    from model.layers.linear import FourBitLinear
    from model.networks.directory import Hold
    from model.networks.network import Network

OFFSET = 0.9677083  # probability of the outermost values, as in the authors' code


class FourBitCodec(Protocol):
    """Packs a matrix and unpacks it."""

    def encode(self, weight_OI: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes, two to a byte, and scales. Raise ValueError for a matrix that holds NaN or infinity."""

    def decode(self, integers: Tensor, scales: Tensor, shape: Size) -> Tensor:
        """Return the matrix as fp32."""


@cache
def nf4_values() -> tuple[float, ...]:
    """Return the sixteen values of NF4, ascending: seven below 0, 0, and eight above."""
    quantile = NormalDist().inv_cdf

    def half(count: int) -> list[float]:
        return [quantile(OFFSET + (0.5 - OFFSET) * step / count) for step in range(count)]

    above, below = half(8), half(7)
    largest = max(above + below)
    return tuple(sorted([*(-value / largest for value in below), 0.0, *(value / largest for value in above)]))


@dataclass(frozen=True)
class Nf4Codec:
    """Rounds each group of `size` neighbouring inputs to the values of NF4."""

    size: int

    def encode(self, weight_OI: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes [out, half of in] and bfloat16 scales [out, groups]."""
        import torch
        from torch.nn.functional import pad

        weight = finite_fp32(weight_OI)
        rows, columns = weight.shape
        group_OGS = pad(weight, (0, -columns % self.size)).view(rows, -1, self.size)
        scale_OG = group_OGS.abs().amax(dim=2).to(torch.bfloat16)
        divisor_OG1 = torch.where(scale_OG == 0, torch.inf, scale_OG.float())[:, :, None]
        values = torch.tensor(nf4_values())
        index_OGS = torch.bucketize(group_OGS / divisor_OG1, (values[1:] + values[:-1]) / 2)
        codes_OI = index_OGS.view(rows, -1)[:, :columns].to(torch.int8) - ZERO
        return pack_pairs(codes_OI), scale_OG

    def decode(self, integers: Tensor, scales: Tensor, shape: Size) -> Tensor:
        """Return the matrix as fp32 [out, in]."""
        import torch

        index_OI = unpack_pairs(integers, shape[1]).int() + ZERO
        steps_OI = scales.float().repeat_interleave(self.size, dim=1)[:, : shape[1]]
        return torch.tensor(nf4_values(), device=integers.device)[index_OI] * steps_OI


def codec_of(base: str, size: int) -> FourBitCodec:
    """Return the codec of a format, `nf4` or `int4`."""
    return Nf4Codec(size) if base == "nf4" else GroupCodec(size)


class QLoraConfig(LoraSettings):
    """Low-rank changes of matrices that are held in four bits a weight."""

    kind: Literal["qlora"] = Field("qlora", description="names this kind of adapter: low-rank changes of matrices held in four bits")
    base: Literal["nf4", "int4"] = Field("nf4", description="how the frozen matrices are held: nf4 suits normally distributed weights")
    group_size: int = Field(64, ge=2, le=1024, description="neighbouring inputs that share a scale; fewer: larger and more exact; count")

    @classmethod
    def from_saved(cls, fields: Mapping[str, Any]) -> Self | None:
        """Return the settings that `save` wrote."""
        if fields.get("peft_type") != "LORA" or "folio_base" not in fields:
            return None
        return cls.model_validate({"kind": "qlora", **peft_settings(fields), **fields["folio_base"]})

    def supports(self) -> frozenset[str]:
        """Return what was tested; the packed base is on every worker, what is trained is divided."""
        return frozenset({"zero_3"})

    def hold(self) -> Hold:
        """Return what packs matrices as they are read."""
        return self.build().hold

    def build(self) -> QLoraAdapter:
        """Return the adapter that these settings describe."""
        return QLoraAdapter(self)


@dataclass(frozen=True)
class QLoraAdapter(LoraAdapter):
    """Packs the matrices inside the blocks, then adapts the linear layers as LoRA does."""

    config: QLoraConfig

    def prepare(self, network: Network) -> None:
        """Replace every linear layer inside the blocks by a packed one, unless it was packed as it was read."""
        self._pack(network, lambda layer, name: layer.weight)

    def hold(self, network: Network, tensors: dict[str, Tensor]) -> None:
        """Pack the matrices inside the blocks of a network without memory, from the tensors of its file, which it takes out of them.

        The codes are those of the fp32 matrices, and no more than one of these is there at a time.
        """
        self._pack(network, lambda layer, name: tensors.pop(name))

    def _pack(self, network: Network, weight_of: Callable[[nn.Linear, str], Tensor]) -> None:
        from torch import nn

        from model.layers.experts import TiledLinear
        from model.layers.linear import FourBitLinear

        roles, codec = network.roles(), codec_of(self.config.base, self.config.group_size)
        layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
        for name, layer in layers.items():
            if roles[f"{name}.weight"] == "matrix":
                parent, _, last = name.rpartition(".")
                weight = weight_of(layer, f"{name}.weight")
                codes, scales = _like(weight, codec) if weight.is_meta else (part.to(weight.device) for part in codec.encode(weight))
                packed = FourBitLinear(codes, scales, weight.shape, layer.bias, codec.decode, tiled=isinstance(layer, TiledLinear))
                setattr(network.get_submodule(parent), last, packed)

    def wrap(self, settings: Any, network: Network) -> None:
        """Have peft wrap packed layers as it wraps linear ones."""
        from peft.tuners.lora.layer import Linear

        from model.layers.linear import FourBitLinear

        settings._register_custom_module({FourBitLinear: Linear})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Unsupported layer type")  # of peft, of layers that are not its own
            super().wrap(settings, network)

    def restore(self, network: Network, own: Mapping[str, Tensor]) -> None:
        """Round the matrices inside the blocks as training held them, then merge the stored changes."""
        import torch

        roles, codec = network.roles(), codec_of(self.config.base, self.config.group_size)
        with torch.no_grad():
            for name, weight in network.named_parameters():
                if roles[name] == "matrix":
                    weight.copy_(codec.decode(*codec.encode(weight), weight.shape))
        super().restore(network, own)

    def extra_fields(self) -> dict[str, Any]:
        """Return how the base that the changes belong to is rounded."""
        return {"folio_base": {"base": self.config.base, "group_size": self.config.group_size}}

    def kept(self, network: Network) -> LazyTensors:
        """Return the unpacked matrices, on the CPU, under the names that they had as parameters; each is unpacked when it is asked for."""
        from torch import float32

        from model.layers.linear import FourBitLinear

        packed = {name: module for name, module in network.named_modules() if isinstance(module, FourBitLinear)}
        return LazyTensors(
            {
                f"{name}.weight": Lazy((module.out_features, module.in_features), float32, partial(_unpacked, module))
                for name, module in packed.items()
            }
        )


def _like(weight_OI: Tensor, codec: FourBitCodec) -> Iterator[Tensor]:
    """The codes and scales of a matrix that has no memory: each row takes as much as one of ones."""
    import torch

    rows, columns = weight_OI.shape
    return (torch.empty(rows, *part.shape[1:], dtype=part.dtype, device="meta") for part in codec.encode(torch.ones(1, columns)))


def _unpacked(layer: FourBitLinear) -> Tensor:
    return layer.matrix().cpu()

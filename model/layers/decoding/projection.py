"""Linear layers that read the same vector, as one product with one matrix.

What a norm does to each channel after it has scaled the vector (a gain, a shift) is folded into the matrices that read it:
W (g x + s) + b = (W g) x + (W s + b). Adding the result to the residual stream is part of the product.

A matrix in the layout in which oneDNN multiplies several vectors at once, on a CPU.

The sums are the same bits for any number of threads, which those of a plain product of 5 vectors, for one, are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.linear import Bottleneck
from model.layers.norms import BatchNorm, LayerNorm, RMSNorm

LEAST_ALONE = 1_500_000  # numbers in a matrix, from which this layout is no slower for one vector either


def packs(weight_OI: Tensor) -> bool:
    """Return whether a matrix can have this layout."""
    return weight_OI.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


class PackedMatrix:
    """x_MI -> x_MO."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        self._kernels: Any = torch.ops.mkldnn
        self._weight, self._bias_O = self._kernels._reorder_linear_weight(weight_OI.contiguous(), None), bias_O

    def matrix(self) -> Tensor:
        """Return the matrix as it was given, [out, in]."""
        weight_OI: Tensor = self._weight.to_dense()
        return weight_OI

    def __call__(self, x_MI: Tensor) -> Tensor:
        if len(x_MI) == 1:
            # Twice the same, since oneDNN divides the sum of a single vector among its threads.
            return self(x_MI.expand(2, -1))[:1]
        product_MO: Tensor = self._kernels._linear_pointwise(x_MI, self._weight, self._bias_O, "none", [], "")
        return product_MO

    def added(self, stream_MO: Tensor, x_MI: Tensor) -> Tensor:
        """Return stream_MO plus the product."""
        return self(x_MI).add_(stream_MO)


@dataclass(frozen=True)
class Affine:
    """A gain and a shift of each channel, gain_D x_D + shift_D; None: 1, or 0."""

    gain_D: Tensor | None = None
    shift_D: Tensor | None = None


class Projection:
    """x_MI -> x_MO.

    A large matrix is held packed, a small one as it is and, once several vectors come at once, packed as well. size: numbers in the matrix.
    """

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        self.bias_O, self.size, self._packs = bias_O, weight_OI.numel(), packs(weight_OI)
        self._packed = PackedMatrix(weight_OI, bias_O) if self._packs and weight_OI.numel() >= LEAST_ALONE else None
        # Inputs first in memory: a CPU multiplies a vector faster than by the transposed view of [out, in].
        self._weight_IO = weight_OI.t().contiguous() if self._packed is None else None

    def __call__(self, x_MI: Tensor) -> Tensor:
        matrix = self._matrix(len(x_MI))
        if isinstance(matrix, PackedMatrix):
            return matrix(x_MI)
        return x_MI.mm(matrix) if self.bias_O is None else torch.addmm(self.bias_O, x_MI, matrix)

    def added(self, stream_MO: Tensor, x_MI: Tensor) -> Tensor:
        """Return stream_MO plus the product."""
        matrix = self._matrix(len(x_MI))
        if isinstance(matrix, PackedMatrix):
            return matrix.added(stream_MO, x_MI)
        return torch.addmm(stream_MO if self.bias_O is None else stream_MO + self.bias_O, x_MI, matrix)

    def matrix(self) -> Tensor:
        """Return the matrix, [out, in]."""
        if self._weight_IO is not None:
            return self._weight_IO.t()
        assert self._packed is not None, "a projection has one of both forms"
        return self._packed.matrix()

    def _matrix(self, rows: int) -> Tensor | PackedMatrix:
        """Return the matrix, inputs first, or packed: whichever multiplies so many vectors faster."""
        if self._weight_IO is not None and (rows == 1 or not self._packs):
            return self._weight_IO
        if self._packed is None:
            assert self._weight_IO is not None, "a projection has one of both forms"
            self._packed = PackedMatrix(self._weight_IO.t(), self.bias_O)
        return self._packed


class Bottlenecked:
    """x_MI -> x_MO through a layer and the bottleneck after it."""

    def __init__(self, layer: Bottleneck) -> None:
        self.first, self.down, self.up = (
            Projection(*matrix_of(linear)) for linear in (layer.base_layer, layer.bottleneck_down, layer.bottleneck_up)
        )

    def added(self, stream_MO: Tensor, x_MI: Tensor) -> Tensor:
        """Return stream_MO plus the layer's output and the bottleneck's."""
        y_MO = self.first(x_MI)
        return self.up.added(stream_MO + y_MO, functional.gelu(self.down(y_MO)))


NEUTRAL = Affine()


def writing(layer: nn.Module) -> Projection | Bottlenecked:
    """Return a layer whose output is added to the residual stream."""
    return Bottlenecked(layer) if isinstance(layer, Bottleneck) and layer.enabled else fuse((layer,))


def fuse(layers: Sequence[nn.Module], before: Affine = NEUTRAL, orders: Sequence[Tensor | None] = ()) -> Projection:
    """Return the projection of what `before` makes of a vector to the outputs of all layers, one after the other.

    orders: for each layer the order in which its outputs are wanted, int64 [O]; None: as they are.
    """
    pairs = [folded(*matrix_of(layer), before) for layer in layers]
    for number, order_O in enumerate(orders):
        if order_O is not None:
            weight_OI, bias_O = pairs[number]
            pairs[number] = weight_OI[order_O], None if bias_O is None else bias_O[order_O]
    if len(pairs) == 1:
        return Projection(*pairs[0])
    biases = [weight.new_zeros(len(weight)) if bias is None else bias for weight, bias in pairs]
    return Projection(torch.cat([weight for weight, _ in pairs]), torch.cat(biases) if any(bias is not None for _, bias in pairs) else None)


def matrix_of(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return the matrix [out, in] and the bias that a layer computes with, fp32 and without gradients.

    An adapter around a linear layer, or one that unpacks its weight, is asked what it makes of each unit vector.
    """
    with torch.no_grad():
        if isinstance(layer, nn.Linear):
            return layer.weight.detach().float(), None if layer.bias is None else layer.bias.detach().float()
        inner: Any = getattr(layer, "base_layer", layer)
        device = next(chain(layer.parameters(), layer.buffers())).device
        was_training = layer.training
        layer.eval()  # an adapter's dropout
        outputs: Tensor = layer(torch.cat((torch.zeros(1, inner.in_features), torch.eye(inner.in_features))).to(device))
        layer.train(was_training)
        outputs = outputs.float()
        return (outputs[1:] - outputs[0]).t().contiguous(), None if inner.bias is None else outputs[0]


def folded(weight_OI: Tensor, bias_O: Tensor | None, before: Affine) -> tuple[Tensor, Tensor | None]:
    """Return matrix and bias of a layer that reads what `before` makes of a vector, as they read the vector itself."""
    if before.shift_D is not None:
        shift_O = weight_OI @ before.shift_D
        bias_O = shift_O if bias_O is None else bias_O + shift_O
    return weight_OI if before.gain_D is None else weight_OI * before.gain_D, bias_O


Scale = Callable[[Tensor], Tensor]


def split_norm(norm: nn.Module) -> tuple[Scale, Affine]:
    """Return the scaling of x_XD and the gain and shift that follow, as the norm computes in evaluation.

    Raise TypeError for a norm of another kind than `make_norm` builds.
    """
    if isinstance(norm, nn.Identity):
        return _unscaled, NEUTRAL
    if isinstance(norm, RMSNorm):
        return _RootMeanSquare(norm.weight, norm.epsilon), Affine(norm.weight.detach().float())
    if isinstance(norm, LayerNorm):
        return _Standardized(len(norm.weight), norm.epsilon), Affine(norm.weight.detach().float(), norm.bias.detach().float())
    if isinstance(norm, BatchNorm):
        gain_D = norm.weight.detach().float() * (norm.running_var.float() + norm.epsilon).rsqrt()
        return _unscaled, Affine(gain_D, norm.bias.detach().float() - gain_D * norm.running_mean.float())
    raise TypeError(f"generation does not support the norm {type(norm).__name__}")


def whole_norm(norm: nn.Module) -> Scale:
    """Return a norm whose result is read by more than matrices: scaling, gain and shift."""
    scale, after = split_norm(norm)
    gain_D, shift_D = after.gain_D, after.shift_D
    if gain_D is None:
        return scale
    if shift_D is None:
        return lambda x_XD: scale(x_XD) * gain_D
    return lambda x_XD: torch.addcmul(shift_D, scale(x_XD), gain_D)


class _RootMeanSquare:
    """x / sqrt(mean(x^2) + epsilon) in four small operations; PyTorch's own takes about twice as long on a CPU."""

    def __init__(self, weight_D: Tensor, epsilon: float) -> None:
        self.epsilon_1 = torch.full((1,), epsilon, device=weight_D.device)
        self.share = 1 / len(weight_D)

    def __call__(self, x_XD: Tensor) -> Tensor:
        norm_X1 = torch.linalg.vector_norm(x_XD, dim=-1, keepdim=True)
        return x_XD * torch.addcmul(self.epsilon_1, norm_X1, norm_X1, value=self.share).rsqrt_()


class _Standardized:
    def __init__(self, width: int, epsilon: float) -> None:
        self.shape, self.epsilon = (width,), epsilon

    def __call__(self, x_XD: Tensor) -> Tensor:
        return functional.layer_norm(x_XD, self.shape, None, None, self.epsilon)


def _unscaled(x_XD: Tensor) -> Tensor:
    return x_XD

"""Bottleneck adapters (Houlsby et al., 2019): a small network of two layers after each sublayer's last matrix.

    y' = y + U gelu(D y + d) + u      D [width, out] drawn at random, U [out, width] and both biases zero, so training starts from y

The nonlinear function between D and U prevents merging them into the matrix. Cost in a step: two narrow products for each
sublayer, in series with it, also in generation. peft has no format for this kind: the folder holds folio's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from model.adapters.protocol import AdapterBase, AdapterError, running_statistics, write_adapter
from model.networks.tensor_files import LazyTensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model.layers.linear import Bottleneck
    from model.networks.network import Network

BASE, OWN = ".base_layer.", ".bottleneck_"
LAST = (".o_proj", ".down_proj")  # the matrices whose outputs are added to the residual stream


class BottleneckConfig(AdapterBase):
    """A small nonlinear network after each sublayer; all weights stay as they were."""

    KEEPS_BASE: ClassVar[bool] = True
    MERGES: ClassVar[bool] = False

    kind: Literal["bottleneck"] = Field("bottleneck", description="names this kind of adapter: a narrow network after each sublayer")
    width: int = Field(16, ge=1, le=2**16, description="channels of the narrow network; more: more to learn with, and more to store; count")

    def supports(self) -> frozenset[str]:
        """Return what was tested."""
        return frozenset({"zero_3"})

    @classmethod
    def from_saved(cls, fields: Mapping[str, Any]) -> Self | None:
        """Return the settings that `save` wrote."""
        return cls(kind="bottleneck", width=fields["width"]) if fields.get("folio_adapter") == "bottleneck" else None

    def build(self) -> BottleneckAdapter:
        """Return the adapter that these settings describe."""
        return BottleneckAdapter(self)


@dataclass(frozen=True)
class BottleneckAdapter:
    """Wraps the linear layers that end a sublayer."""

    config: BottleneckConfig

    def check(self, network: Network) -> None:
        """Raise AdapterError without such a layer."""
        self._ends(network)

    def inject(self, network: Network, seed: int) -> None:
        """Wrap the ends of all sublayers. Raise AdapterError without one, and for running statistics."""
        import torch

        from model.networks.network import draw_normal

        ends = self._ends(network)
        if state := running_statistics(network):
            raise AdapterError(
                f"adapter.kind=bottleneck can't freeze {state[0]}, a running statistic; use another network, or adapter.kind=full"
            )
        network.requires_grad_(False)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            for name, linear in ends.items():
                for inside, parameter in self._wrap(network, name, linear).named_parameters():
                    if inside == "bottleneck_down.weight":
                        draw_normal(parameter, linear.out_features**-0.5, seed, f"{name}.{inside}")
                    elif inside.startswith(OWN[1:]):
                        parameter.zero_()

    @contextmanager
    def disabled(self, network: Network) -> Iterator[None]:
        """Compute without the bottlenecks, in evaluation mode, which also turns dropout off."""
        import torch

        layers, training = list(_adapted(network)), network.training
        network.eval()
        for layer in layers:
            layer.enabled = False
        try:
            with torch.no_grad():
                yield
        finally:
            for layer in layers:
                layer.enabled = True
            network.train(training)

    def kept(self, network: Network) -> LazyTensors:
        """Return an empty mapping."""
        return LazyTensors({})

    def merged(self, tensors: Mapping[str, Tensor]) -> LazyTensors:
        """Return the network's weights under its own names; they are those from before."""
        return LazyTensors({name.replace(BASE, "."): part for name, part in LazyTensors(tensors).parts.items() if OWN not in name})

    def own(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the matrices and biases that were added, under their names in the network."""
        return {name: tensor for name, tensor in tensors.items() if OWN in name}

    def restore(self, network: Network, own: Mapping[str, Tensor]) -> None:
        """Wrap the ends of all sublayers of a network with stored ones. Raise AdapterError unless they fit."""
        import torch

        self.inject(network, 0)
        mine = {name: parameter for name, parameter in network.named_parameters() if OWN in name}
        if wrong := sorted(name for name in {*mine, *own} if name not in mine or name not in own or mine[name].shape != own[name].shape):
            raise AdapterError(f"adapter.kind=bottleneck: {wrong[0]} is not as this network would have it; it is another network's")
        with torch.no_grad():
            for name, parameter in mine.items():
                parameter.copy_(own[name])

    def save(self, own: Mapping[str, Tensor], directory: Path) -> None:
        """Write both files; the same tensors give the same bytes."""
        write_adapter(own, {"folio_adapter": "bottleneck", "width": self.config.width}, directory)

    def _wrap(self, network: Network, name: str, linear: nn.Linear) -> Bottleneck:
        from model.layers.linear import Bottleneck

        parent, _, last = name.rpartition(".")
        layer = Bottleneck(linear, self.config.width).train(network.training)
        setattr(network.get_submodule(parent), last, layer)
        return layer

    def _ends(self, network: Network) -> dict[str, nn.Linear]:
        from torch import nn

        ends = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear) and name.endswith(LAST)}
        if not ends:
            raise AdapterError(
                f"adapter.kind=bottleneck finds no layer that ends a sublayer in {type(network).__name__}; use adapter.kind=full"
            )
        return ends


def _adapted(network: Network) -> Iterator[Bottleneck]:
    from model.layers.linear import Bottleneck

    return (module for module in network.modules() if isinstance(module, Bottleneck))

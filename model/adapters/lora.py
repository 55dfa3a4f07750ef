"""Low-rank adaptation (Hu et al., 2021): train only a change of small rank for each adapted matrix W [out, in].

    W' = W + alpha / rank x B A      A [rank, in] drawn at random, B [out, rank] zero, so training starts from W

With `dora` (Liu et al., 2024) also the norm m [out] of each row: W' = m x V / |V| with V = W + alpha / rank x B A, m = |W| at the start.
peft injects the layers, and loads the file that `save` writes. Cost in a step: two narrow products for each adapted matrix
(DoRA: also A and B multiplied out). Benefit: gradients, optimizer state and checkpoints for only a few percent of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from model.adapters.protocol import AdapterBase, AdapterError, running_statistics, write_adapter
from model.networks.tensor_files import Lazy, LazyTensors

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.network import Network

NAME = "default"  # peft's name of the only adapter in the network
DOWN, UP, NORM = f".lora_A.{NAME}.weight", f".lora_B.{NAME}.weight", f".lora_magnitude_vector.{NAME}.weight"
BASE = ".base_layer."  # what peft puts into the names of an adapted layer's own parameters
SAVED = {DOWN: ".lora_A.weight", UP: ".lora_B.weight", NORM: ".lora_magnitude_vector"}
UNSUPPORTED = (
    "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save", "target_parameters", "fan_in_fan_out", "lora_bias",
    "trainable_token_indices", "layer_replication",
)  # fmt: skip
CHANGING_BASE = ("pissa", "olora", "corda", "loftq")
"""The initializations of peft whose changes start from another base."""
PREFIX = "base_model.model."  # of all names in peft's file


class LoraSettings(AdapterBase):
    """The settings that all kinds of low-rank changes have."""

    LIBRARIES: ClassVar[tuple[str, ...]] = ("peft",)
    KEEPS_BASE: ClassVar[bool] = True

    kind: str
    rank: int = Field(8, ge=1, description="rank of each change; more: more to learn with, and more to store; count")
    alpha: float = Field(16.0, gt=0, description="changes are multiplied by alpha / rank; factor")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of a layer's inputs that the change does not see in training; probability")
    targets: tuple[str, ...] = Field(
        (), description="which matrices inside the blocks, by the last part of their layer's name; empty: all; list of names"
    )

    @property
    def drops(self) -> float:
        """The share of a layer's inputs that the change does not see in training."""
        return self.dropout

    @property
    def normed(self) -> bool:
        """Whether the norm of each adapted row is trained apart from its direction."""
        return False


class LoraConfig(LoraSettings):
    """Low-rank changes of the matrices inside the blocks; everything else stays frozen."""

    PEFT_LOADS: ClassVar[bool] = True

    kind: Literal["lora"] = Field("lora", description="names this kind of adapter: low-rank changes of matrices")
    dora: bool = Field(False, description="also train the norm of each adapted row, apart from its direction (DoRA); yes or no")

    @property
    def normed(self) -> bool:
        """Whether the norm of each adapted row is trained apart from its direction."""
        return self.dora

    @classmethod
    def from_saved(cls, fields: Mapping[str, Any]) -> Self | None:
        """Return the settings that peft's fields give."""
        if fields.get("peft_type") != "LORA" or "folio_base" in fields:
            return None
        return cls.model_validate({"kind": "lora", **peft_settings(fields), "dora": fields.get("use_dora", False)})

    def supports(self) -> frozenset[str]:
        """Return what was tested; DoRA reads whole matrices outside their layers, which ZeRO 3 does not gather."""
        return frozenset({"pipeline"} if self.dora else {"pipeline", "zero_3"})

    def build(self) -> LoraAdapter:
        """Return the adapter that these settings describe."""
        return LoraAdapter(self)


@dataclass(frozen=True)
class LoraAdapter:
    """Adapts the linear layers whose weight has the role `matrix`."""

    config: LoraSettings

    def check(self, network: Network) -> None:
        """Raise AdapterError without a linear layer to adapt, and for a target that is none."""
        self._targets(network)

    def inject(self, network: Network, seed: int) -> None:
        """Wrap the targets. Raise AdapterError without peft, for a target that isn't such a layer, and for running statistics."""
        import torch

        from model.networks.network import draw_normal

        targets = self._targets(network)
        if state := running_statistics(network):
            raise AdapterError(
                f"adapter.kind={self.config.kind} can't freeze {state[0]}, a running statistic; use another network, or adapter.kind=full"
            )
        try:
            from peft import LoraConfig as PeftConfig
        except ImportError:
            raise AdapterError(
                f"adapter.kind={self.config.kind} needs peft: pip install -e '.[adapters]', or use adapter.kind=full"
            ) from None
        config = self.config
        settings = PeftConfig(
            r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=targets, use_dora=config.normed
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            self.prepare(network)
            self.wrap(settings, network)
            for name, parameter in network.named_parameters():
                if name.endswith(DOWN):
                    # As wide as peft draws them.
                    draw_normal(parameter, 1 / math.sqrt(3 * parameter.shape[1]), seed, _saved(name))

    def prepare(self, network: Network) -> None:
        """Do nothing: the base stays unchanged."""

    def wrap(self, settings: Any, network: Network) -> None:
        """Have peft wrap the layers that its settings name, and freeze everything else."""
        from peft import inject_adapter_in_model

        inject_adapter_in_model(settings, network, NAME)

    @contextmanager
    def disabled(self, network: Network) -> Iterator[None]:
        """Compute with the base weights alone, in evaluation mode, which also turns dropout off."""
        import torch

        layers, training = list(_adapted(network)), network.training
        network.eval()
        for layer in layers:
            layer.enable_adapters(False)
        try:
            with torch.no_grad():
                yield
        finally:
            for layer in layers:
                layer.enable_adapters(True)
            network.train(training)

    def kept(self, network: Network) -> LazyTensors:
        """Return an empty mapping."""
        return LazyTensors({})

    def merged(self, tensors: Mapping[str, Tensor]) -> LazyTensors:
        """Return W' for each adapted W, bit for bit what peft's own merging gives for plain LoRA, made when it is asked for."""
        weights: dict[str, Tensor | Lazy] = {}
        for name, part in LazyTensors(tensors).parts.items():
            if name.endswith(tuple(SAVED)):
                continue
            layer, inside, rest = name.partition(BASE)
            changed = Lazy(tuple(part.shape), part.dtype, partial(self._merged, name, layer, tensors)) if rest == "weight" else part
            weights[f"{layer}.{rest}" if inside else name] = changed
        return LazyTensors(weights)

    def _merged(self, name: str, layer: str, tensors: Mapping[str, Tensor]) -> Tensor:
        return self._merge(tensors[name], layer, tensors)

    def _merge(self, weight_OI: Tensor, layer: str, tensors: Mapping[str, Tensor]) -> Tensor:
        down_RI, up_OR = tensors[layer + DOWN], tensors[layer + UP]
        changed_OI = weight_OI + (up_OR @ down_RI) * (self.config.alpha / self.config.rank)
        if not self.config.normed:
            return changed_OI
        factor_O: Tensor = tensors[layer + NORM] / changed_OI.norm(dim=1)
        return factor_O[:, None] * changed_OI

    def own(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return A and B, and with `dora` m, of each adapted layer, under peft's names."""
        return {_saved(name): tensor for name, tensor in tensors.items() if name.endswith(tuple(SAVED))}

    def save(self, own: Mapping[str, Tensor], directory: Path) -> None:
        """Write adapter_model.safetensors and adapter_config.json; the same tensors give the same bytes."""
        from importlib.metadata import version

        layers = sorted(name.removeprefix(PREFIX).removesuffix(SAVED[DOWN]) for name in own if name.endswith(SAVED[DOWN]))
        config = self.config
        fields = {
            **self.extra_fields(),
            "peft_type": "LORA",
            "peft_version": version("peft"),
            "r": config.rank,
            "lora_alpha": config.alpha,
            "lora_dropout": config.dropout,
            "use_dora": config.normed,
            "target_modules": layers,
            "bias": "none",
            "inference_mode": True,
        }
        write_adapter(own, fields, directory)

    def extra_fields(self) -> dict[str, Any]:
        """Return what adapter_config.json says beyond peft's own fields: nothing."""
        return {}

    def restore(self, network: Network, own: Mapping[str, Tensor]) -> None:
        """Merge stored changes into the network's weights. Raise AdapterError for a layer that the network does not have, and for a change
        of anything else."""
        import torch

        weights, tensors = dict(network.named_parameters()), {_inside(name): tensor for name, tensor in own.items()}
        layers = sorted(name.removesuffix(DOWN) for name in tensors if name.endswith(DOWN))
        if unread := sorted(tensors.keys() - {layer + end for layer in layers for end in SAVED}):
            raise AdapterError(
                f"adapter.kind={self.config.kind} changes matrices inside the blocks, and the adapter's file also holds {unread[0]}; "
                "merge it with peft first"
            )
        for layer in layers:
            weight = weights.get(f"{layer}.weight")
            if weight is None or weight.shape != (len(tensors[layer + UP]), tensors[layer + DOWN].shape[1]):
                raise AdapterError(
                    f"adapter.kind={self.config.kind} changes {layer}, which this network has not in that shape; it is another's"
                )
            changed = self._merge(weight.detach().cpu().float(), layer, tensors)
            with torch.no_grad():
                weight.copy_(changed)

    def _targets(self, network: Network) -> list[str]:
        """Names of the linear layers to adapt: not those of single experts, which transformers holds as one tensor, so peft finds none."""
        from torch import nn

        from model.layers.experts import TiledLinear
        from model.layers.linear import FourBitLinear

        roles, wanted, inside = network.roles(), self.config.targets, set(network.blocks().modules())
        layers = [
            name
            for name, module in network.named_modules()
            if module in inside
            and (
                not module.tiled
                if isinstance(module, FourBitLinear)
                else isinstance(module, nn.Linear) and roles[f"{name}.weight"] == "matrix" and not isinstance(module, TiledLinear)
            )
        ]
        if not layers:
            raise AdapterError(
                f"adapter.kind={self.config.kind} finds no linear layer in the blocks of {type(network).__name__}; use adapter.kind=full"
            )
        last = sorted({name.rpartition(".")[2] for name in layers})
        if unknown := [name for name in wanted if name not in last]:
            raise AdapterError(f"adapter.targets names {unknown[0]!r}; the linear layers inside the blocks are {', '.join(last)}")
        return [name for name in layers if not wanted or name.rpartition(".")[2] in wanted]


def _adapted(network: Network) -> Iterator[Any]:
    """The layers that peft has put into the network."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return (module for module in network.modules() if isinstance(module, BaseTunerLayer))


def peft_settings(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return rank and scale from peft's fields; raise AdapterError for what changes more than the matrices by them."""
    for name in UNSUPPORTED:
        if fields.get(name):
            raise AdapterError(f"adapter_config.json has {name}={fields[name]!r}, which folio does not compute; merge it with peft first")
    if str(fields.get("init_lora_weights")).partition("_")[0] in CHANGING_BASE:
        raise AdapterError(
            f"adapter_config.json has init_lora_weights={fields['init_lora_weights']!r}, which changes the base; convert it with peft's "
            "path_initial_model_for_weight_conversion first"
        )
    if fields.get("bias", "none") != "none":
        raise AdapterError(f"adapter_config.json has bias={fields['bias']}, which folio does not compute; merge it with peft first")
    return {"rank": fields["r"], "alpha": fields["lora_alpha"]}


def _inside(name: str) -> str:
    """The name in an adapted network of a tensor of peft's file."""
    plain = name.removeprefix(PREFIX)
    return next((plain.removesuffix(saved) + end for end, saved in SAVED.items() if plain.endswith(saved)), plain)


def _saved(name: str) -> str:
    """A parameter's name in peft's file."""
    return PREFIX + next(name.removesuffix(end) + saved for end, saved in SAVED.items() if name.endswith(end))

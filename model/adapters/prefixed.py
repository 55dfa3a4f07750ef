"""Base class of prefix and prompt tuning: the network is frozen, and a learned prefix precedes every document."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from model.adapters.protocol import AdapterBase, AdapterError
from model.adapters.saving import prompt_fields, write_adapter

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.decoder import Trunk
    from model.networks.network import Network
    from model.networks.prefix import Prefix

SAVED = "prompt_embeddings"  # peft's name of what is learned
ENDING = ".prefix.weight"  # of our own


class PrefixedConfig(AdapterBase):
    """A kind that learns a prefix."""

    KEEPS_BASE: ClassVar[bool] = True
    MERGES: ClassVar[bool] = False
    PEFT_LOADS: ClassVar[bool] = True
    PEFT_TYPE: ClassVar[str]

    kind: str

    def supports(self) -> frozenset[str]:
        """Return what was tested."""
        return frozenset({"zero_3"})


class PrefixedAdapter(ABC):
    """Adds one parameter, `prefix.weight`, to the module that has the blocks."""

    def __init__(self, config: PrefixedConfig, length: int) -> None:
        self.config, self.length = config, length

    @abstractmethod
    def make(self, owner: Trunk, prompt_PD: Tensor) -> Prefix:
        """Return the prefix to start from, given the vectors of drawn tokens."""

    @abstractmethod
    def blank(self, owner: Trunk, width: int) -> Prefix:
        """Return a prefix of zeros, as wide as a stored one."""

    def check(self, network: Network) -> None:
        """Raise AdapterError for a network whose documents can't have a prefix."""
        if refusal := network.config.prefix_refusal():
            raise AdapterError(f"adapter.kind={self.config.kind}: {refusal}; use adapter.kind=lora")

    def inject(self, network: Network, seed: int) -> None:
        """Start from tokens drawn by the seed, which taught better than random numbers (Lester et al., 2021), and freeze the network.

        What the network computes does change: any key takes a share of attention.
        """
        import torch

        self.check(network)
        owner = network.prefix_owner()
        if owner.prefix is not None:
            raise AdapterError(f"adapter.kind={self.config.kind}: the network has a learned prefix already; start from the model before it")
        generator = torch.Generator().manual_seed(seed)
        drawn_P = torch.randint(network.vocab_size, (self.length,), generator=generator)
        training = network.training
        with torch.no_grad():
            weight_VD = owner.embed_tokens.weight
            prefix = self.make(owner.eval(), weight_VD.detach()[drawn_P.to(weight_VD.device)].float())
        owner.train(training)
        network.requires_grad_(False)
        owner.prefix = prefix

    @contextmanager
    def disabled(self, network: Network) -> Iterator[None]:
        """Compute without the prefix, in evaluation mode, which also turns dropout off."""
        import torch

        owner, training = network.prefix_owner(), network.training
        prefix = owner.prefix
        network.eval()
        owner.prefix = None
        try:
            with torch.no_grad():
                yield
        finally:
            owner.prefix = prefix
            network.train(training)

    def kept(self, network: Network) -> dict[str, Tensor]:
        """Return an empty mapping."""
        return {}

    def merged(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the network's weights, which are unchanged."""
        return {name: tensor for name, tensor in tensors.items() if not name.endswith(ENDING)}

    def own(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the prefix, under peft's name."""
        found = [tensor for name, tensor in tensors.items() if name.endswith(ENDING)]
        return {SAVED: found[0]} if found else {}

    def restore(self, network: Network, own: Mapping[str, Tensor]) -> None:
        """Put a stored prefix before every document of the network. Raise AdapterError unless it fits."""
        import torch

        self.check(network)
        owner = network.prefix_owner()
        stored = own.get(SAVED)
        if stored is None or stored.dim() != 2 or len(stored) != self.length:
            shape = None if stored is None else tuple(stored.shape)
            raise AdapterError(
                f"adapter.kind={self.config.kind}: {SAVED} has shape {shape}, not {self.length} rows; save the adapter again"
            )
        prefix = self.blank(owner, stored.shape[1])
        with torch.no_grad():
            prefix.weight.copy_(stored)
        network.requires_grad_(False)
        owner.prefix = prefix.to(owner.embed_tokens.weight.device).train(network.training)

    def save(self, own: Mapping[str, Tensor], directory: Path) -> None:
        """Write both files; the same tensor gives the same bytes."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            written = {"peft_version": version("peft")}
        except PackageNotFoundError:
            written = {}
        write_adapter(own, {**prompt_fields(self.config.PEFT_TYPE, self.length), **written}, directory)

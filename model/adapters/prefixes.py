"""Adapters that learn a prefix before every document: prompt tuning and prefix tuning. The network is frozen.

Prompt tuning (Lester et al., 2021): learn a few vectors that precede every document in place of tokens.
The smallest of the adapters, D numbers for each position, and nothing is added to the weights, so it can't be merged into them. Cost in
a step: one pass over the prompt for each micro-batch, and its keys in each attention. peft loads the file that `save` writes.

Base class of prefix and prompt tuning: the network is frozen, and a learned prefix precedes every document.

Prefix tuning (Li and Liang, 2021): learn, in each layer, keys and values of a few positions that every token attends to.

Adds 2 L G K numbers for each position, and nothing to the weights, so it can't be merged into them. Cost in a step: as many more keys
in each attention as there are positions. peft loads the file that `save` writes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from model.adapters.protocol import AdapterBase, AdapterError, prompt_fields, write_adapter
from model.networks.tensor_files import LazyTensors

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

    def kept(self, network: Network) -> LazyTensors:
        """Return an empty mapping."""
        return LazyTensors({})

    def merged(self, tensors: Mapping[str, Tensor]) -> LazyTensors:
        """Return the network's weights, which are unchanged."""
        return LazyTensors(tensors).chosen(lambda name: not name.endswith(ENDING))

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


class PrefixConfig(PrefixedConfig):
    """Learned keys and values before every document; all weights stay as they were."""

    PEFT_TYPE: ClassVar[str] = "PREFIX_TUNING"

    kind: Literal["prefix"] = Field("prefix", description="names this kind of adapter: learned keys and values before every document")
    length: int = Field(16, ge=1, description="positions that are learned in each layer; count")

    @classmethod
    def from_saved(cls, fields: Mapping[str, Any]) -> Self | None:
        """Return the settings that peft's fields give."""
        return cls(kind="prefix", length=fields["num_virtual_tokens"]) if fields.get("peft_type") == cls.PEFT_TYPE else None

    def build(self) -> PrefixAdapter:
        """Return the adapter that these settings describe."""
        return PrefixAdapter(self, self.length)


class PrefixAdapter(PrefixedAdapter):
    """Learns keys and values, starting from those that the network makes of drawn tokens."""

    def make(self, owner: Trunk, prompt_PD: Tensor) -> Prefix:
        from model.networks.prefix import KeyValuePrefix

        return KeyValuePrefix.of_prompt(owner, prompt_PD)

    def blank(self, owner: Trunk, width: int) -> Prefix:
        import torch

        from model.networks.prefix import KeyValuePrefix

        config = owner.config
        if width != (wanted := 2 * config.layers * config.kv_heads * config.head_dim):
            raise AdapterError(
                f"adapter.kind=prefix: stored positions have {width} numbers, this network's {wanted}; it is another network's"
            )
        return KeyValuePrefix(torch.zeros(self.length, width))


class PromptConfig(PrefixedConfig):
    """Learned vectors in place of tokens before every document; all weights stay frozen."""

    PEFT_TYPE: ClassVar[str] = "PROMPT_TUNING"

    kind: Literal["prompt"] = Field(
        "prompt", description="names this kind of adapter: learned vectors in place of tokens before a document"
    )
    length: int = Field(16, ge=1, description="vectors that are learned; count")

    @classmethod
    def from_saved(cls, fields: Mapping[str, Any]) -> Self | None:
        """Return the settings that peft's fields give."""
        return cls(kind="prompt", length=fields["num_virtual_tokens"]) if fields.get("peft_type") == cls.PEFT_TYPE else None

    def build(self) -> PromptAdapter:
        """Return the adapter that these settings describe."""
        return PromptAdapter(self, self.length)


class PromptAdapter(PrefixedAdapter):
    """Learns the vectors, starting from the embeddings of random tokens."""

    def make(self, owner: Trunk, prompt_PD: Tensor) -> Prefix:
        from model.networks.prefix import PromptPrefix

        return PromptPrefix(prompt_PD)

    def blank(self, owner: Trunk, width: int) -> Prefix:
        import torch

        from model.networks.prefix import PromptPrefix

        if width != owner.config.width:
            raise AdapterError(
                f"adapter.kind=prompt: stored vectors have {width} numbers, this network's {owner.config.width}; it is another's"
            )
        return PromptPrefix(torch.zeros(self.length, width))

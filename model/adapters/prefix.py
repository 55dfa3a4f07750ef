"""Prefix tuning (Li and Liang, 2021): learn, in each layer, keys and values of a few positions that every token attends to.

Adds 2 L G K numbers for each position, and nothing to the weights, so it can't be merged into them. Cost in a step: as many more keys
in each attention as there are positions. peft loads the file that `save` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from model.adapters.prefixed import PrefixedAdapter, PrefixedConfig
from model.adapters.protocol import AdapterError

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.decoder import Trunk
    from model.networks.prefix import Prefix


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

"""Prompt tuning (Lester et al., 2021): learn a few vectors that precede every document in place of tokens.

The smallest of the adapters, D numbers for each position, and nothing is added to the weights, so it can't be merged into them. Cost in
a step: one pass over the prompt for each micro-batch, and its keys in each attention. peft loads the file that `save` writes.
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

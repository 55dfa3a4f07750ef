"""The kinds of adapters: the settings that a recipe may give. Cheap to import: no torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from model.adapters.bottleneck import BottleneckConfig
from model.adapters.lora import LoraConfig
from model.adapters.prefixes import PrefixConfig, PromptConfig
from model.adapters.protocol import FEATURES, AdapterBase, AdapterError
from model.adapters.qlora import QLoraConfig
from model.networks.tensor_files import LazyTensors

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.network import Network


class FullConfig(AdapterBase):
    """All weights are trained."""

    kind: Literal["full"] = Field("full", description="names this kind of adapter: none, all weights are trained")

    def supports(self) -> frozenset[str]:
        """Return every feature."""
        return frozenset(FEATURES)

    def build(self) -> FullAdapter:
        """Return the adapter that adds nothing."""
        return FullAdapter()


@dataclass(frozen=True)
class FullAdapter:
    """Adds nothing and freezes nothing."""

    def check(self, network: Network) -> None:
        """Do nothing: every network has weights."""

    def inject(self, network: Network, seed: int) -> None:
        """Do nothing: every parameter is trained already."""

    def disabled(self, network: Network) -> AbstractContextManager[None]:
        """Raise AdapterError: training changes the weights themselves."""
        raise AdapterError("training changes all weights, so the model from before is not in the network; load it again")

    def kept(self, network: Network) -> LazyTensors:
        """Return an empty mapping."""
        return LazyTensors({})

    def merged(self, tensors: Mapping[str, Tensor]) -> LazyTensors:
        """Return the tensors as they are."""
        return LazyTensors(tensors)

    def own(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return an empty mapping."""
        return {}

    def restore(self, network: Network, own: Mapping[str, Tensor]) -> None:
        """Raise AdapterError: no adapter was saved."""
        raise AdapterError("adapter.kind=full saves no adapter: the model directory's own weights were trained")

    def save(self, own: Mapping[str, Tensor], directory: Path) -> None:
        """Write nothing."""


AnyAdapter = FullConfig | LoraConfig | QLoraConfig | BottleneckConfig | PrefixConfig | PromptConfig
AdapterConfig = Annotated[AnyAdapter, Field(discriminator="kind")]
"""The kinds of adapters."""

"""The kinds of adapters: the settings that a recipe may give. Cheap to import: no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from model.adapters.full import FullConfig
from model.adapters.lora import LoraConfig

AnyAdapter = FullConfig | LoraConfig
AdapterConfig = Annotated[AnyAdapter, Field(discriminator="kind")]
"""What is trained of a network, by `kind`."""

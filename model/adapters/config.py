"""The kinds of adapters: the settings that a recipe may give. Cheap to import: no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from model.adapters.bottleneck import BottleneckConfig
from model.adapters.full import FullConfig
from model.adapters.lora import LoraConfig
from model.adapters.prefix import PrefixConfig
from model.adapters.prompt import PromptConfig
from model.adapters.qlora import QLoraConfig

AnyAdapter = FullConfig | LoraConfig | QLoraConfig | BottleneckConfig | PrefixConfig | PromptConfig
AdapterConfig = Annotated[AnyAdapter, Field(discriminator="kind")]
"""The kinds of adapters."""

"""Every kind of network, as one type: the `model:` section of a recipe, and a field of config.json."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from model.networks.base import NetworkBase
from model.networks.decoder_config import DecoderConfig
from model.networks.encoder_config import EncoderConfig
from model.networks.recurrent_config import RecurrentConfig

AnyKind = DecoderConfig | RecurrentConfig | EncoderConfig
NetworkConfig = Annotated[AnyKind, Field(discriminator="kind")]
KINDS: dict[str, type[NetworkBase]] = {kind.model_fields["kind"].default: kind for kind in get_args(AnyKind)}

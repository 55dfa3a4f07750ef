"""Every kind of network, as one type: the `model:` section of a recipe, and a field of config.json."""

from __future__ import annotations

from model.networks.base import NetworkBase
from model.networks.decoder_config import DecoderConfig

NetworkConfig = DecoderConfig
KINDS: dict[str, type[NetworkBase]] = {"decoder": DecoderConfig}

"""Every form of an open model, as one type: the `base` section of a recipe. Cheap to import (no torch)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from model.opening.folder import FolderModel
from model.opening.gguf_model import GgufModel
from model.opening.hub_model import HubModel
from model.opening.source import OpenModelConfig as OpenModelConfig

OpenModel = Annotated[FolderModel | HubModel | GgufModel, Field(discriminator="kind")]
"""A model that others trained, by `kind`."""

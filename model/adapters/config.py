"""The kinds of adapters: the settings that a recipe may give. Cheap to import: no torch."""

from __future__ import annotations

from model.adapters.full import FullConfig

AdapterConfig = FullConfig  # with a second kind: Annotated[FullConfig | ..., Field(discriminator="kind")]
"""What is trained of a network, by `kind`."""

"""The names of entries in a recipe's lists, such as quantized variants and tuning steps. Cheap to import."""

from __future__ import annotations

from typing import Any

# Also the name of a folder or of a position in the flow, and the first part of metric names, such as int8.test.bits_per_byte.
NAME_PATTERN = r"^[a-z0-9][a-z0-9_]*$"
# The same settings give the same bytes under any name, so a renamed entry is reused.
NOT_IDENTITY: dict[str, Any] = {"identity": False}

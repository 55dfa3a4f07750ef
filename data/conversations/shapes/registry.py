"""The shapes by name, in the order in which a record is tried: the more a shape asks for, the earlier.

A shape is a file with `fits` (whether a record looks like it) and `convert` (what the record holds, as `schema` has it).
"""

from __future__ import annotations

from types import ModuleType
from typing import Literal

from data.conversations.shapes import alpaca, completion, labelled, openai, preference, sharegpt

Shape = Literal["auto", "preference", "labelled", "completion", "openai", "sharegpt", "alpaca"]
SHAPES: dict[str, ModuleType] = {
    "preference": preference,
    "labelled": labelled,
    "completion": completion,
    "openai": openai,
    "sharegpt": sharegpt,
    "alpaca": alpaca,
}

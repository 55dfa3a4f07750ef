"""What every input's config has and answers. Cheap to import (no torch)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from data.shards.reader import ShardReader
    from model.inputs.protocol import Input


class InputBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """One of a network's inputs: a column of its rows, and what turns it into vectors."""

    kind: str
    VOCABULARY: ClassVar[bool] = False  # whether its weight has a vector for each token, which tied logits are read with

    @property
    @abstractmethod
    def module(self) -> str:
        """The name of its module in a network, the prefix of its weights' names."""

    def columns(self) -> dict[str, int]:
        """Return the columns that rows need besides their tokens, each with the width of its vectors."""
        return {}

    @property
    def generated(self) -> bool:
        """Whether its column follows from the tokens; the model can then read rows without the column, and generate."""
        return True

    @abstractmethod
    def build(self, vocab_size: int, width: int) -> Input:
        """Make the module. The network draws its weights."""

    def require(self, shards: ShardReader) -> None:
        """Raise ShardError, naming the column, if it can't read these rows."""

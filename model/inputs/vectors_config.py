"""The input that reads a column of float vectors. Cheap to import (no torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from model.inputs.base import InputBase

if TYPE_CHECKING:
    from data.shards.reader import ShardReader
    from model.inputs.vectors import VectorProjection


class VectorsConfig(InputBase, frozen=True, extra="forbid"):
    """A learned projection of a column of float vectors, one for each token."""

    kind: Literal["vectors"] = Field("vectors", description="which input: a column of float vectors")
    column: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="which column of the rows; name")
    size: int = Field(ge=1, description="numbers in each of its vectors")
    from_tokens: bool = Field(
        True,
        description="the column follows from the tokens by a table beside the training rows, which the model keeps: it then reads rows "
        "without the column and generates; false: all rows must have the column, and the model can't generate",
    )

    @property
    def module(self) -> str:
        return f"embed_{self.column}"

    def columns(self) -> dict[str, int]:
        return {self.column: self.size}

    @property
    def generated(self) -> bool:
        return self.from_tokens

    def build(self, vocab_size: int, width: int) -> VectorProjection:
        from model.inputs.vectors import VectorProjection

        return VectorProjection(self, vocab_size, width)

    def require(self, shards: ShardReader) -> None:
        """Accept rows with this column, and rows without it if it follows from their tokens."""
        from data.shards.schema import ShardError

        if self.column not in shards.columns and self.from_tokens:
            return
        column = shards.column(self.column)
        if column.dtype.kind != "f" or column.shape != (shards.metadata.sequence_length + 1, self.size):
            raise ShardError(
                f"{shards.directory} has {column}, but the model reads {self.size} float numbers at each of "
                f"{shards.metadata.sequence_length + 1} positions; give the input the column's size, or write the rows again"
            )

"""The kinds of inputs, as one type: an item of a network's `inputs`. Cheap to import (no torch)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from data.shards.pictures import PATCHES, PictureGrid
from data.shards.sounds import SoundGrid

if TYPE_CHECKING:
    from data.shards.reader import ShardReader
    from model.inputs.inputs import Input, PatchProjection, TokenEmbedding, VectorProjection


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


class TokensConfig(InputBase, frozen=True, extra="forbid"):
    """A learned vector for each token of the vocabulary."""

    VOCABULARY: ClassVar[bool] = True

    kind: Literal["tokens"] = Field("tokens", description="which input: the tokens")

    @property
    def module(self) -> str:
        return "embed_tokens"

    def build(self, vocab_size: int, width: int) -> TokenEmbedding:
        from model.inputs.inputs import TokenEmbedding

        return TokenEmbedding(vocab_size, width)


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
        from model.inputs.inputs import VectorProjection

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


class PatchesConfig(InputBase, frozen=True, extra="forbid"):
    """A learned projection of the column of patches, whatever they are of."""

    MEDIUM: ClassVar[str]

    @property
    def module(self) -> str:
        return f"embed_{PATCHES}"

    @property
    @abstractmethod
    def size(self) -> int:
        """Numbers in the vector of a patch."""

    def columns(self) -> dict[str, int]:
        return {PATCHES: self.size}

    def require(self, shards: ShardReader) -> None:
        """Accept rows with such patches, and rows without any, which are words alone."""
        from data.shards.schema import ShardError

        if PATCHES not in shards.columns:
            return
        column = shards.column(PATCHES)
        if column.shape != (shards.metadata.sequence_length + 1, self.size):
            raise ShardError(
                f"{shards.directory} has {column}, but the model reads patches of {self.size} numbers; give pack.{self.MEDIUM} and the "
                "input one size"
            )


class PicturesConfig(PatchesConfig, PictureGrid, frozen=True, extra="forbid"):
    """A learned projection of each patch of the pictures among the tokens, plus a vector of its place in the picture."""

    MEDIUM: ClassVar[str] = "pictures"

    kind: Literal["pictures"] = Field("pictures", description="which input: patches of pictures, as pack.pictures cuts them")
    places: Literal["learned", "sinusoidal", "none"] = Field(
        "learned",
        description="what tells where in its picture a patch is. learned: a vector for each place; sinusoidal: fixed waves of length 1, "
        "half of the channels by row and half by column; none: the order of the tokens alone",
    )

    @model_validator(mode="after")
    def _places_tell_frames_apart(self) -> PicturesConfig:
        if self.frames > 1 and self.places == "sinusoidal":
            raise ValueError(f"places=sinusoidal with frames={self.frames}: waves tell rows and columns alone; use places: learned")
        return self

    @property
    def size(self) -> int:
        return self.patch_size

    def build(self, vocab_size: int, width: int) -> PatchProjection:
        from model.inputs.inputs import PatchProjection

        return PatchProjection(self, width)


class SoundsConfig(PatchesConfig, SoundGrid, frozen=True, extra="forbid"):
    """A learned projection of each stack of log-mel frames of the sounds among the tokens, plus a vector of its place in time."""

    MEDIUM: ClassVar[str] = "sounds"

    kind: Literal["sounds"] = Field("sounds", description="which input: log-mel frames of sounds, as pack.sounds cuts them")
    places: Literal["learned", "none"] = Field(
        "learned",
        description="what tells when in its sound a frame is. learned: a vector for each place; none: the order of the tokens alone",
    )

    @property
    def size(self) -> int:
        return self.patch_size

    def build(self, vocab_size: int, width: int) -> PatchProjection:
        from model.inputs.inputs import PatchProjection

        return PatchProjection(self, width)


InputConfig = Annotated[TokensConfig | VectorsConfig | PicturesConfig | SoundsConfig, Field(discriminator="kind")]


class ReadsInputs(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The inputs of a network, in the order their vectors are summed."""

    inputs: tuple[InputConfig, ...] = Field((), description="what it reads of each row, tokens among them; empty: the tokens alone")

    @field_validator("inputs")
    @classmethod
    def _inputs_fit(cls, inputs: tuple[InputConfig, ...]) -> tuple[InputConfig, ...]:
        """Refuse an unusable list; normalize one that equals the default."""
        modules = [config.module for config in inputs]
        if double := sorted({module for module in modules if modules.count(module) > 1}):
            raise ValueError(f"inputs has {modules.count(double[0])} for {double[0].removeprefix('embed_')}; keep one")
        if inputs and not any(config.VOCABULARY for config in inputs):
            raise ValueError("inputs lacks the tokens, which the network predicts; add {kind: tokens}")
        return () if inputs == (TokensConfig(),) else inputs

    @property
    def all_inputs(self) -> tuple[InputBase, ...]:
        """Every input, the tokens where none is named."""
        return self.inputs or (TokensConfig(),)

    @property
    def pictures(self) -> PicturesConfig | None:
        """The reader of pictures; None if it reads none."""
        return next((config for config in self.inputs if isinstance(config, PicturesConfig)), None)

    @property
    def sounds(self) -> SoundsConfig | None:
        """How it reads sounds; None if it doesn't."""
        return next((config for config in self.inputs if isinstance(config, SoundsConfig)), None)

    @property
    def patches(self) -> PicturesConfig | SoundsConfig | None:
        """How it reads the column of patches, which pictures or sounds have; None if it doesn't."""
        return self.pictures or self.sounds

"""The settings of an n-gram model, whose size follows from the text that it counts. Cheap to import (no torch)."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from model.networks.base import Ability, Layout, NetworkBase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.networks.network import Network


class NgramConfig(NetworkBase, frozen=True, extra="forbid"):
    """An n-gram model with modified Kneser-Ney smoothing: it counts which tokens follow which in the training rows, in one pass.

    It needs no training, so a few pages are enough for a model, and it knows no more than the runs of tokens that it has read. Its tables
    are those of the baseline `ngram`, and give the same probabilities.
    """

    BUILT_BY: ClassVar[str] = "model.networks.ngram:Ngram"
    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset({"causal", "generation", "packed"})
    INITIAL: ClassVar[frozenset[str]] = frozenset()
    SIZES: ClassVar[tuple[str, ...]] = ()

    kind: Literal["ngram"] = Field("ngram", description="which network: counted n-grams, with modified Kneser-Ney smoothing")
    order: int = Field(5, ge=2, le=8, description="length of the longest n-grams: the token and those before it; tokens")
    most_tokens: int = Field(
        20_000_000,
        ge=1,
        le=1_000_000_000,
        description="training tokens counted at most, in whole rows spread evenly; each needs 120 bytes of memory; tokens",
    )
    if not TYPE_CHECKING:  # These are no fields of it, and mypy refuses to make a field a constant.
        width: ClassVar[int] = 0
        layers: ClassVar[int] = 0
        initial_std: ClassVar[float] = 0.0

    @model_validator(mode="after")
    def _tokens_alone_are_counted(self) -> NgramConfig:
        if self.inputs:
            raise ValueError(
                f"inputs={', '.join(config.kind for config in self.inputs)} with kind=ngram: it counts tokens alone; leave it out"
            )
        return self

    @property
    def attended(self) -> int:
        """The tokens before the next one that are looked up."""
        return self.order - 1

    @property
    def masks_documents(self) -> bool:
        """A context ends where its document begins."""
        return False

    @property
    def shallow(self) -> Self:
        """It has no blocks."""
        return self

    def layout_problems(self, layout: Layout) -> Iterator[str]:
        """Also refuse workers, ZeRO and micro-batches, since counting is one pass of one process."""
        yield from super().layout_problems(layout)
        for key, value, plain in (
            (f"{layout.spread}workers", layout.workers // (layout.tensor * layout.pipeline), 1),
            (f"{layout.spread}zero_stage", layout.zero_stage, 0),
            ("micro_batch", layout.micro_batch, 0),
        ):
            if value != plain:
                yield f"{key}={value} with {layout.shape}kind={self.kind}, which is counted by one process; set {key}={plain}"

    def build(self, vocab_size: int, *, seed: int = 0) -> Network:
        """Return a model that has counted nothing yet: every token is as likely."""
        network: Network = resolve_name(self.BUILT_BY)(self, vocab_size)
        return network

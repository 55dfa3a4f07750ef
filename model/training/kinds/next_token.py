"""Pretraining by next-token prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from model.loading.mixture_config import MixturePhase, check_phases
from model.training.train_config import TrainConfig

if TYPE_CHECKING:
    from model.objectives.next_token import NextToken


class PretrainConfig(TrainConfig):
    """Next-token prediction over packed documents."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {**TrainConfig.NEEDS, "copy_rows": ("eval_rows",), "copy_tokens": ("copy_rows",)}

    kind: Literal["next_token"] = Field("next_token", description="training objective: the next token of every document")
    tokens: int = Field(2_000_000, ge=0, description="tokens to train on, padding included, instead of steps; tokens")
    within_documents: bool = Field(True, description="restrict attention to the same document within a packed row")
    copy_rows: int = Field(0, ge=0, description="training passages tested for memorization at each measurement (copy_rate); 0: none")
    copy_tokens: int = Field(32, ge=1, description="length of such a passage's prompt, and of the continuation that must match; tokens")
    initial: str = Field(
        "", description="folder of a model to start from, folio's or a Hugging Face Llama; relative to the root; empty: fresh weights"
    )
    mixture: tuple[MixturePhase, ...] = Field(
        (),
        description="source weights by phase, for shards packed with pack.by_source=true; empty: every row once per epoch; list of phases",
    )

    @model_validator(mode="after")
    def _phases_follow(self) -> PretrainConfig:
        check_phases(self.mixture)
        return self

    @property
    def masks_documents(self) -> bool:
        """Whether a row holds several documents that do not see each other."""
        return self.within_documents

    def build_objective(self) -> NextToken:
        """Return the objective that this config describes."""
        from model.objectives.next_token import NextToken

        return NextToken(within_documents=self.within_documents)

"""Pretraining by next-token prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.training.train_config import CorpusTrainConfig

if TYPE_CHECKING:
    from model.objectives.next_token import NextToken


class PretrainConfig(CorpusTrainConfig):
    """Next-token prediction over packed documents."""

    FROM_LOGITS: ClassVar[bool] = True
    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {**CorpusTrainConfig.NEEDS, "copy_rows": ("eval_rows",), "copy_tokens": ("copy_rows",)}

    kind: Literal["next_token"] = Field("next_token", description="training objective: the next token of every document")
    copy_rows: int = Field(0, ge=0, description="training passages tested for memorization at each measurement (copy_rate); 0: none")
    copy_tokens: int = Field(32, ge=1, description="length of such a passage's prompt, and of the continuation that must match; tokens")
    token_dropout: float = Field(
        0.0, ge=0, lt=1, description="probability that an input token is hidden from the network, in training alone; 0: none; fraction"
    )

    @property
    def dropped_tokens(self) -> float:
        return self.token_dropout

    @property
    def memorization_passages(self) -> tuple[int, int]:
        return self.copy_rows, self.copy_tokens

    def build_objective(self) -> NextToken:
        """Return the objective that this config describes."""
        from model.objectives.next_token import NextToken

        return NextToken(within_documents=self.within_documents)

"""The settings of the quality classifier. Cheap to import."""

from __future__ import annotations

from pydantic import BaseModel, Field

EXAMPLES = "files, folders or globs under the recipe's root; .txt, .md: one text each; .jsonl: a text in the field `text` of each line"


class ClassifierConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Logistic regression over hashed words and pairs of words, as in the quality filters of GPT-3 and the Pile.

    See Brown et al. 2020 (arXiv:2005.14165, appendix A), and Weinberger et al. 2009 (arXiv:0902.2206) for the hashing.
    """

    positive: tuple[str, ...] = Field((), description=f"examples of good texts; {EXAMPLES}")
    negative: tuple[str, ...] = Field((), description=f"examples of bad texts; {EXAMPLES}")
    words: int = Field(2, ge=1, le=3, description="longest n-gram of words that is a feature; words")
    features_log2: int = Field(18, ge=10, le=24, description="number of hash buckets for features; its logarithm to base 2")
    regularization: float = Field(1.0, gt=0, description="inverse strength of regularization (C of the logistic regression)")
    chunk: int = Field(4000, ge=200, description="length of the chunks that a text is divided into for training and scoring; characters")
    chunks: int = Field(32, ge=1, description="most chunks of a text, spread through it, that its score is the mean of; chunks")
    folds: int = Field(5, ge=2, description="folds of the cross-validation that measures the classifier on unseen examples; folds")
    minimum_auc: float = Field(
        0.8, ge=0.5, le=1, description="a classifier with a smaller area under the ROC curve on unseen texts is refused"
    )
    seed: int = Field(1, ge=0, description="seed of the division into folds")

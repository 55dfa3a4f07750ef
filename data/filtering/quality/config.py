"""What a classifier of quality learns from, and how. Cheap to import."""

from __future__ import annotations

from pydantic import BaseModel, Field

EXAMPLES = "files, folders or globs below the recipe's root; .txt, .md: one text; .jsonl: a text a line, called `text`"


class ClassifierConfig(BaseModel, frozen=True, extra="forbid"):
    """Logistic regression over hashed words and pairs of words, as GPT-3's and the Pile's quality filters had it.

    Brown et al. 2020 (arXiv:2005.14165, appendix A) and Weinberger et al. 2009 (arXiv:0902.2206) for the hashing."""

    positive: tuple[str, ...] = Field((), description=f"examples of good texts; {EXAMPLES}")
    negative: tuple[str, ...] = Field((), description=f"examples of bad texts; {EXAMPLES}")
    words: int = Field(2, ge=1, le=3, description="longest run of words that is a feature; words")
    features_log2: int = Field(18, ge=10, le=24, description="into how many numbers the features are hashed; its logarithm to base 2")
    regularization: float = Field(1.0, gt=0, description="how freely weights may grow (C of the logistic regression)")
    chunk: int = Field(4000, ge=200, description="a text is learned from and judged piece by piece; characters of a piece")
    chunks: int = Field(32, ge=1, description="of how many pieces, spread through it, a text's judgement is the mean, at most")
    folds: int = Field(5, ge=2, description="into how many parts the examples are divided to measure the classifier on what it hasn't seen")
    minimum_auc: float = Field(
        0.8, ge=0.5, le=1, description="a classifier whose area under the ROC curve, on texts it hasn't seen, is smaller is refused"
    )
    seed: int = Field(1, ge=0, description="of how the examples are divided")

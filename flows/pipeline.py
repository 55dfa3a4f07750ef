"""The whole pipeline: books in, a model you can talk to out.

corpus   sources -> cleaned, deduplicated, leak-checked splits -> gate, examples
base     splits -> tokenizer -> packed rows -> pretrained model -> gate
chat     base model -> tuning, step by step -> gate -> adapters, side by side
release  chat model -> quantized variants, Hugging Face directory -> gate -> registry
"""

from __future__ import annotations

from flows.base import base
from flows.chat import chat
from flows.corpus import corpus
from flows.recipe.schema import Recipe
from flows.release import Release, release


def compose(recipe: Recipe) -> Release:
    """Call the four chapters in order. Planning walks through the same code as running."""
    books = corpus(recipe)
    pretrained = base(recipe, books)
    aligned = chat(recipe, books, pretrained)
    return release(recipe, books, pretrained, aligned)

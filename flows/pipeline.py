"""The whole pipeline: books in, a model you can talk to out.

corpus   sources -> cleaned, deduplicated, leak-checked splits -> gate, examples
base     splits -> tokenizer -> packed rows -> pretrained model -> gate
chat     base model -> tuning, step by step -> gate -> adapters, side by side
release  chat model -> quantized variants, Hugging Face directory -> gate -> registry
"""

from __future__ import annotations

from prefect import flow
from prefect.states import Cancelled

from flows.base import base
from flows.chat import chat
from flows.corpus import corpus
from flows.recipe.differences import plain_differences
from flows.recipe.schema import Recipe
from flows.release import Release, release
from tasks.report import reported
from tasks.stage.execution.approving import AwaitsApproval
from tasks.stage.execution.run_context import open_run
from tasks.stage.store.artifact import Artifact


def compose(recipe: Recipe) -> Release:
    """Call the four chapters in order. Planning walks through the same code as running."""
    books = corpus(recipe)
    pretrained = base(recipe, books)
    aligned = chat(recipe, books, pretrained)
    return release(recipe, books, pretrained, aligned)


def make(recipe: Recipe) -> dict[str, Artifact]:
    """Open a run of a recipe and compose it. Return every artifact by its position in the flow."""
    with open_run(**recipe.run_settings(), differences=plain_differences(recipe)) as run, reported():
        compose(recipe)
        return run.artifacts


@flow(name="folio", flow_run_name="{recipe.name}")
def pipeline(recipe: Recipe) -> dict[str, Artifact]:
    """Make what a recipe describes, reusing what has not changed. Return every artifact by its position in the flow."""
    try:
        return make(recipe)
    except KeyboardInterrupt:
        return Cancelled(message="stopped by a signal")  # type: ignore[return-value]  # Prefect takes a returned state as that of the run
    except AwaitsApproval as waiting:
        return Cancelled(message=str(waiting), data=waiting)  # type: ignore[return-value]  # the caller gets its data raised

"""The whole: books in, a model you can talk to out.

corpus   sources -> cleaned, deduplicated, leak-checked splits
base     splits -> tokenizer -> packed shards -> pretrained model -> gate
chat     base -> instruction tuning -> preference alignment -> gate
release  chat -> INT8, Hugging Face directory -> gate -> registry
"""

from __future__ import annotations

from prefect import flow
from prefect.states import Cancelled

from flows.base import base
from flows.chat import chat
from flows.corpus import corpus
from flows.recipe.schema import Recipe
from flows.release import Release, release
from tasks.report import reported
from tasks.stage.execution.run_context import open_run
from tasks.stage.store.artifact import Artifact


def compose(recipe: Recipe) -> Release:
    """The four chapters in order; the same code is walked by a plan and executed by a run."""
    books = corpus(recipe)
    pretrained = base(recipe, books)
    aligned = chat(recipe, books, pretrained)
    return release(recipe, books, pretrained, aligned)


@flow(name="folio", flow_run_name="{recipe.name}")
def pipeline(recipe: Recipe) -> dict[str, Artifact]:
    """From a recipe to a released model; returns every artifact by its place. What has not changed is reused."""
    try:
        with open_run(**recipe.run_settings()) as run, reported():
            compose(recipe)
            return run.artifacts
    except KeyboardInterrupt:
        return Cancelled(message="stopped by Ctrl-C")  # type: ignore[return-value]  # what Prefect takes for the state of the run itself

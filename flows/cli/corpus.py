"""`folio corpus`: what became of every document and every piece of text; read from the store alone."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.store import AsJson, StoreUrl

corpus_app = typer.Typer(no_args_is_help=True, help="What became of every document and every piece of text; read from the store alone.")
OfRun = Annotated[
    str, typer.Argument(metavar="[RECIPE]", help="recipe that ran, or a run such as universe~1; by default the newest run that has it")
]


@corpus_app.command()
def show(
    document: Annotated[str, typer.Argument(help="a document's id, path, title or file's name, or a file that was put aside")],
    recipe: OfRun = "",
    full: Annotated[bool, typer.Option("--full", help="the whole text, as it was read and as it stands, and every change")] = False,
    rule: Annotated[str, typer.Option(help="only what this rule did")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="changed places to show, some of every rule; 20 unless said")] = None,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Where a document came from, what each stage and rule made of it, and its text before and after."""
    from flows.cli.corpus_show import show_document
    from flows.cli.diff_rendering import print_marked

    print_marked(show_document(document, recipe, full=full, rule=rule, limit=limit, as_json=as_json, store=store))


@corpus_app.command()
def stats(recipe: OfRun = "", as_json: AsJson = False, store: StoreUrl = "") -> None:
    """How much came, what each stage and rule took, and what is left: by source, format, language and split."""
    from flows.cli.corpus_stats import corpus_stats

    print(corpus_stats(recipe, as_json=as_json, store=store))


@corpus_app.command()
def removed(
    rule: Annotated[str, typer.Argument(metavar="[RULE]", help="rule, or stage/rule; without it the tables are listed")] = "",
    recipe: OfRun = "",
    limit: Annotated[int | None, typer.Option(min=1, help="rows of a rule's table to show; 20 unless said")] = None,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """What a rule took away, word for word."""
    from flows.cli.corpus_removed import what_was_removed

    print(what_was_removed(rule, recipe, limit=limit, as_json=as_json, store=store))


@corpus_app.command()
def why(
    first: Annotated[str, typer.Argument(help="a document")],
    second: Annotated[str, typer.Argument(help="another, which was called the same")],
    recipe: OfRun = "",
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Why two documents were called the same: the pairs that join them, and the passages that they share."""
    from flows.cli.corpus_why import why_the_same

    print(why_the_same(first, second, recipe, as_json=as_json, store=store))

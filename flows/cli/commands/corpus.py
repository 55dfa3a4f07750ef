"""`folio corpus`: what happened to every document and every piece of text, read from the store alone; and lists of what lies at a URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.sources.config import ManifestSource
from data.sources.errors import SourceError
from data.sources.fetching.manifest import manifest_line, read_manifest
from data.sources.fetching.pinned import pin_prefix
from data.sources.formats import FORMATS, USUAL
from flows.cli.commands.arguments import AsJson, StoreUrl
from flows.cli.views.corpus_removed import corpus_stats, explain_duplicates, show_removed
from flows.cli.views.corpus_show import show_document
from flows.cli.views.diff_rendering import print_styled
from flows.services.home import JUDGEMENTS, home
from tasks.stage.system.atomic_files import write_atomically

if TYPE_CHECKING:
    from data.sources.fetching.manifest import Entry

app = typer.Typer()
corpus_app = typer.Typer(no_args_is_help=True, help="Look at what happened to every document and every piece of text.")
app.add_typer(corpus_app, name="corpus")
OfRun = Annotated[
    str,
    typer.Argument(
        metavar="[RECIPE]", help="a recipe that ran, by name or path, or a run such as universe~1; by default the newest run that fits"
    ),
]


@app.command()
def search(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="a recipe that ran with an index, by name or path, or a run such as notes~1")
    ],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="a question, or words")],
    most: Annotated[int, typer.Option("--limit", metavar="COUNT", min=1, help="passages to show")] = 5,
    words: Annotated[bool, typer.Option("--words", help="by words alone, although the index has vectors")] = False,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Find the passages of a recipe's documents that answer a question, by words and by meaning.

    The recipe needs an index: `folio run RECIPE --set index={}`, or with vectors `--set index={vectors: {}}`.

    Example: `folio search notes "Who looks after the kiln?"`
    """
    from flows.cli.searching import search_passages

    print(search_passages(recipe, question, most, by_words=words, as_json=as_json, store=store))


@app.command()
def judgements(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="a journal of judgements; by default that of folio's home")
    ] = None,
    withdraw: Annotated[
        str,
        typer.Option(metavar="WHAT", help="add a line that takes back a judgement, by its id, or all of judge:NAME or of answer:TEXT"),
    ] = "",
    judge: Annotated[str, typer.Option(metavar="NAME", help="who withdraws; needed with --withdraw")] = "",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="why; needed with --withdraw")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what people judged, how far they agree, and how models rate by it.

    Examples: `folio judgements`, `folio judgements --withdraw judge:ada --judge ada --reason "I had the wrong glasses on"`
    """
    from flows.cli.views.judgements import show_judgements, withdraw_judgements  # loads numpy

    if not withdraw and (judge or reason):
        raise ValueError("--judge and --reason say who withdraws and why; give --withdraw as well, or leave them out")
    if withdraw and as_json:
        raise ValueError("--json shows what was judged, and --withdraw takes it back; leave one of them out")
    journal = folder or home() / JUDGEMENTS
    print(withdraw_judgements(journal, withdraw, judge, reason) if withdraw else show_judgements(journal, as_json=as_json))


@corpus_app.command()
def show(
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="a document's id, path, title or file name, or a quarantined file")],
    recipe: OfRun = "",
    full: Annotated[bool, typer.Option("--full", help="print the whole text, before and after, and every change")] = False,
    rule: Annotated[str, typer.Option(metavar="NAME", help="only what this rule did")] = "",
    limit: Annotated[int | None, typer.Option(metavar="COUNT", min=1, help="changes to show, some of every rule; 20 by default")] = None,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Show where a document came from, what each stage and rule did to it, and its text before and after.

    Examples: `folio corpus show alice.txt`, `folio corpus show alice.txt --rule "running heads" --limit 5`
    """
    print_styled(show_document(document, recipe, full=full, rule=rule, limit=limit, as_json=as_json, store=store))


@corpus_app.command()
def stats(recipe: OfRun = "", as_json: AsJson = False, store: StoreUrl = "") -> None:
    """Show how much text came in, what each stage and rule took, and what is left, by source, format, language and split."""
    print(corpus_stats(recipe, as_json=as_json, store=store))


@corpus_app.command()
def removed(
    rule: Annotated[str, typer.Argument(metavar="[RULE]", help="a rule, or stage/rule; without it, the tables are listed")] = "",
    recipe: OfRun = "",
    limit: Annotated[int | None, typer.Option(metavar="COUNT", min=1, help="rows to show; 20 by default")] = None,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Show what a rule removed, word for word.

    Examples: `folio corpus removed` lists the rules, `folio corpus removed dedup/paragraph universe` shows what one took
    """
    print(show_removed(rule, recipe, limit=limit, as_json=as_json, store=store))


@corpus_app.command()
def why(
    first: Annotated[str, typer.Argument(metavar="DOCUMENT", help="a document's id, path, title or file name")],
    second: Annotated[str, typer.Argument(metavar="DOCUMENT", help="the document that it was called a copy of")],
    recipe: OfRun = "",
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Explain why two documents were called duplicates: the pairs that link them, and the passages they share."""
    print(explain_duplicates(first, second, recipe, as_json=as_json, store=store))


@corpus_app.command()
def pin(
    url: Annotated[str, typer.Argument(metavar="URL", help="what lies below it is listed: http(s), s3, gs, az or what else fsspec knows")],
    manifest: Annotated[Path, typer.Argument(metavar="FILE", help="the list to write, for a source of kind: manifest")],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="FORMAT", help="only files of this format (repeatable); by default all that a recipe reads"),
    ] = None,
    max_megabytes: Annotated[int, typer.Option(metavar="MEGABYTES", min=1, help="refuse a larger file")] = 4096,
    max_hours: Annotated[float, typer.Option(metavar="HOURS", min=0.001, help="end the listing, or a download, that takes longer")] = 24.0,
) -> None:
    """Fetch what lies below a URL once, and write a list of it that a recipe can read for ever: URL, sha256 and name of each file.

    Run it again after a stop, and it goes on from there.

    Example: `folio corpus pin s3://bucket/books/ books.tsv`, then in the recipe `{kind: manifest, manifest: books.tsv}`
    """
    print(pin_below(url, manifest, tuple(formats or ()), max_megabytes, max_hours))


def pin_below(url: str, manifest: Path, formats: tuple[str, ...], max_megabytes: int, max_hours: float) -> str:
    """Write the manifest and return what was pinned, in a line.

    The file is written whole or not at all. What was pinned when a call ends early is kept beside it, where the next one goes on. Raise
    ValueError for a format that is not known, a file that exists or can't be written there, and for damage in what was kept.
    """
    if unknown := next((name for name in formats if name not in FORMATS), None):
        raise ValueError(f"--format {unknown} is not one of {', '.join(FORMATS)}")
    if manifest.exists():
        raise ValueError(f"{manifest} exists; name another file, or remove it first")
    if not manifest.parent.is_dir():
        raise ValueError(f"{manifest.parent} is not a folder; create it first")
    so_far = manifest.with_name(f".{manifest.name}.partial")
    pinned = _pinned_before(so_far)
    lines, before = [], 0
    for entry in pin_prefix(url, home() / "cache", formats or USUAL, max_megabytes, max_hours, pinned):
        lines.append(f"{manifest_line(entry)}\n")
        if entry.url in pinned:
            before += 1
            continue
        with so_far.open("a", encoding="utf-8") as kept:
            kept.write(lines[-1])
    write_atomically(manifest, "".join(lines).encode())
    so_far.unlink(missing_ok=True)
    again = f", {before} of them pinned before" if before else ""
    return f"{manifest} lists {len(lines)} files{again}; read them with a source {{kind: manifest, manifest: {manifest}}}"


def _pinned_before(so_far: Path) -> Mapping[str, Entry]:
    """Return {URL: file} of what an earlier call kept. Raise ValueError if it can't be read."""
    if not so_far.exists():
        return {}
    try:
        return {entry.url: entry for entry in read_manifest(ManifestSource(manifest=so_far.name), so_far.parent).values()}
    except SourceError as error:
        raise ValueError(f"{so_far} should hold what was pinned before; remove it to begin anew. {error}") from error

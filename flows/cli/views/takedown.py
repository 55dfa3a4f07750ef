"""`folio takedown`: everything that holds a document, inside the store and out, and the steps that remove it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from data.provenance.tables import IngestedDocument
from data.searching.decoding import Wanted, file_phrases
from data.searching.phrases import Phrases
from flows.cli.snapshot import find_in_store, open_snapshot
from flows.services.home import home
from tasks.lineage.corpus_run import describe_document, find_document
from tasks.lineage.graph import StoreSnapshot
from tasks.lineage.holdings import OwnPhrases, less_others, own_phrases
from tasks.lineage.hook import Holding
from tasks.lineage.removal import instructions, search_json, takedown_json, unreachable
from tasks.lineage.resolve import not_made_by_folio
from tasks.lineage.takedown import Takedown, plan_takedown
from tasks.lineage.word_search import Holder, Place, Search, WordSearch
from tasks.reporting.wording import plural, size
from tasks.stage.store.artifact import Artifact

SHOWN = 12  # holders in one kind of place
SHOWN_INSIDE = 3  # files, tables or members of one


def found_words(own: OwnPhrases, search: Search, lineage: Collection[str] = ()) -> Iterator[str]:
    """Yield lines: first artifacts that `lineage` (locations) does not name, then places outside of them."""
    where = f"{plural(search.files, 'file')}, {size(search.size)}, of {home()}, the store and the sources"
    what = f"{plural(len(own.phrases), 'phrase')} of {own.phrases.words} words that no other document has"
    if not len(own.phrases):
        why = f"all of its {plural(own.all, 'phrase')} are in other documents too" if own.all else "it is too short"
        what = f"its names alone, since {why}"
    yield from ("", f"searched for {what}: {where}")
    unexpected = [holder for holder in search.holders if holder.location and holder.location not in lineage and holder.how != "name"]
    yield from _listed("artifacts with its words that its lineage does not explain", unexpected)
    outside = [holder for holder in search.holders if not holder.location]
    yield from _listed("hold its words outside the artifacts", [holder for holder in outside if holder.how in ("copy", "words")])
    yield from _listed("it was read from, though no words show in the bytes", [holder for holder in outside if holder.how == "source"])
    yield from _listed("weights that learned from it, outside the artifacts", [holder for holder in outside if holder.how == "learned"])
    yield from _listed("may have learned from it: nothing says what these weights are of", [h for h in outside if h.how == "unknown"])
    yield from _listed("name it, but have none of its own phrases", [holder for holder in search.holders if holder.how == "name"])
    if search.unread:
        yield from ("", f"could not be searched: {len(search.unread)}", *_unread(search.unread))


def _listed(title: str, holders: list[Holder]) -> Iterator[str]:
    """Yield the holders by kind of place, with what removes that kind. Files of one artifact share a line."""
    yield from ("", f"{title}: {len(holders) or 'none'}")
    by_place: dict[Place, dict[str, list[Holder]]] = {}
    for holder in holders:
        by_place.setdefault(holder.place, {}).setdefault(holder.location or holder.path, []).append(holder)
    for place, together in by_place.items():
        yield f"  {place.kind}: {len(together)}; {'folio gc' if place.removal == 'gc' else 'by hand'}: {place.advice}"
        yield from (f"    {_holder(name, files)}" for name, files in list(together.items())[:SHOWN])
        if len(together) > SHOWN:
            yield f"    and {len(together) - SHOWN} more (--json)"


def _holder(name: str, files: list[Holder]) -> str:
    first = max(files, key=lambda holder: holder.phrases)
    path = Path(name)
    shown = path.relative_to(home()).as_posix() if path.is_relative_to(home()) else name
    parts = [Path(file.path).name for file in files] if first.location else list(first.inside)
    inside = f" in {', '.join(parts[:SHOWN_INSIDE])}{', ...' if len(parts) > SHOWN_INSIDE else ''}" if parts else ""
    words = f'{plural(first.phrases, "phrase")} such as "{first.quote}"' if first.phrases else first.quote
    return f"{shown}{inside}{f': {words}' if words else ''}"


def _unread(unread: Iterable[tuple[str, str]]) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for path, why in unread:
        by_reason.setdefault(why, []).append(path)
    for why, paths in by_reason.items():
        more = f" and {len(paths) - 1} more (--json)" if len(paths) > 1 else ""
        yield f"  {paths[0]}{more}: {why}"


LEAST_NAME = 6  # shortest path that is searched as a name; shorter ones are ambiguous


def show_takedown(text: str, *, search: bool = True, as_json: bool = False, store: str = "") -> str:
    """Return the account as text or JSON. Raises LookupError if no document, or more than one, is called `text`.

    `search`: also look for its words in all files that folio keeps, even if folio never read the text.
    """
    snapshot = open_snapshot(store)
    if search and find_document(snapshot, text) is None and len(phrases := file_phrases(Path(text).expanduser())):
        return _foreign_text(snapshot, Path(text).expanduser().resolve(), phrases, as_json)
    account = plan_takedown(snapshot, *find_in_store(snapshot, text))
    own = own_phrases(snapshot, account.document.id, account.without) if search else None
    document, learned = account.document, [holding.artifact for holding in (*account.learned, *account.learned_elsewhere)]
    searched = _search(snapshot, own, (document.id, document.name, document.path), learned, document) if own else None
    if as_json:
        return json.dumps(takedown_json(account, own, searched, store), indent=1)
    return "\n".join(_lines(account, own, searched, store))


def _search(
    snapshot: StoreSnapshot,
    own: OwnPhrases,
    names: Iterable[str],
    learned: Iterable[Artifact] = (),
    document: IngestedDocument | None = None,
) -> Search:
    long = tuple(name.casefold() for name in names if len(name) >= LEAST_NAME)
    found = WordSearch(snapshot, home(), Wanted(own.phrases, long), learned, document).run()
    found.unread += unreachable(snapshot.journal.records(), home())
    return found


def _foreign_text(snapshot: StoreSnapshot, path: Path, phrases: Phrases, as_json: bool) -> str:
    """Say that folio did not read a text, and where its words still are, as after a take-down."""
    own = less_others(snapshot, phrases)
    search = _search(snapshot, own, ())
    if as_json:
        return json.dumps({"document": None, "file": str(path), "searched": search_json(own, search)}, indent=1)
    lines = [not_made_by_folio(snapshot, path), *found_words(own, search)]
    copies = (f"  {identity} has {share:.0%} of its phrases: folio takedown {identity}" for identity, share in own.copies.items())
    return "\n".join([*lines, *(["", "documents with its text:", *copies] if own.copies else [])])


def _lines(account: Takedown, own: OwnPhrases | None, search: Search | None, store: str) -> Iterator[str]:
    yield describe_document(account.document)
    yield f"read by {', '.join(artifact.location for artifact in account.read_by)}"
    yield from _by_lineage(account)
    if own is not None and search is not None:
        explained = {holding.artifact.location for holding in account.holdings if holding.affected or holding.detail}
        yield from found_words(own, search, explained)
    related = {identity: shared.how for identity, shared in account.related.items()}
    copies = own.copies if own else {}
    related = {identity: f"has {share:.0%} of its phrases: take it down as well" for identity, share in copies.items()} | related
    if related:
        yield from ("", "share its text:")
        yield from (f"  {identity} ({account.names.get(identity, 'folio lineage ' + identity)}) {how}" for identity, how in related.items())
    yield from ("", f"registered models that learned its text: {len(account.registered) or 'none'}")
    for model, run in account.registered:
        yield f"  {model.name} version {model.version}{f' ({model.alias})' if model.alias else ''}, {model.location}, run {run.id}"
    yield from ("", f"runs that used it: {', '.join(run.id for run in account.runs) or 'none in the journal'}")
    yield from ("", "to take it down:")
    for number, step in enumerate(instructions(account, search, store), start=1):
        yield f"  {number}. {step.what}{':' if step.command else ''}"
        if step.command:
            yield f"       {step.command}"


def _by_lineage(account: Takedown) -> Iterator[str]:
    groups = {
        "contain it": account.contains,
        "learned from it": account.learned,
        "learned its text from the document kept in its place": account.learned_elsewhere,
        "were measured on it, but hold nothing of it": account.measured,
        "removed it from the corpus": account.left_corpus,
    }
    for title, holdings in groups.items():
        if holdings is account.learned_elsewhere and not holdings:
            continue
        yield from ("", f"{title}: {len(holdings) or 'none'}", *(f"  {_holding(one)}" for one in holdings))


def _holding(held: Holding) -> str:
    parts = f": {', '.join(sorted(part or 'all of it' for part in held.parts))}" if held.parts else ""
    detail = f" ({held.detail})" if held.detail else ""
    return f"{held.artifact.location}{parts}{detail}{'' if held.certain else '  (possibly; not certain)'}"

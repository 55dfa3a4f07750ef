"""`folio takedown`: everything that holds a document, inside the store and out, and the steps that remove it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.searching.search import Wanted
from flows.cli.snapshot import find_in_store, open_snapshot
from flows.services.home import home
from tasks.lineage.documents import describe_document
from tasks.lineage.hook import Holding
from tasks.lineage.own_phrases import OwnPhrases, own_phrases
from tasks.lineage.places import Place
from tasks.lineage.removal import instructions
from tasks.lineage.snapshot import StoreSnapshot
from tasks.lineage.takedown import Takedown, plan_takedown
from tasks.lineage.takedown_json import takedown_json
from tasks.lineage.unreachable import unreachable
from tasks.lineage.word_search import Holder, Search, WordSearch
from tasks.reporting.wording import plural, size

SHOWN = 12  # holders in one kind of place
SHOWN_INSIDE = 3  # files, tables or members of one
LEAST_NAME = 6  # characters of a path that is searched as a name; shorter ones are anybody's


def show_takedown(text: str, *, search: bool = True, as_json: bool = False, store: str = "") -> str:
    """Return the account as text or JSON. Raises LookupError if no document, or more than one, is called `text`.

    `search`: look for its words as well, in all files that folio keeps.
    """
    snapshot = open_snapshot(store)
    account = plan_takedown(snapshot, *find_in_store(snapshot, text))
    own = own_phrases(snapshot, account.document.id, account.without) if search else None
    searched = _search(snapshot, account, own) if own else None
    if as_json:
        return json.dumps(takedown_json(account, own, searched, store), indent=1)
    return "\n".join(_lines(account, own, searched, store))


def _search(snapshot: StoreSnapshot, account: Takedown, own: OwnPhrases) -> Search:
    document = account.document
    names = tuple(name.casefold() for name in (document.id, document.name, document.path) if len(name) >= LEAST_NAME)
    learned = [holding.artifact for holding in (*account.learned, *account.learned_elsewhere)]
    found = WordSearch(snapshot, home(), Wanted(own.phrases, names), learned).run()
    found.unread += unreachable(snapshot.journal.records(), home())
    return found


def _lines(account: Takedown, own: OwnPhrases | None, search: Search | None, store: str) -> Iterator[str]:
    yield describe_document(account.document)
    yield f"read by {', '.join(artifact.location for artifact in account.read_by)}"
    yield from _by_lineage(account)
    if own is not None and search is not None:
        yield from _by_words(account, own, search)
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


def _by_words(account: Takedown, own: OwnPhrases, search: Search) -> Iterator[str]:
    """What a search for its words found: first in artifacts that lineage does not name, then outside of them."""
    where = f"{plural(search.files, 'file')}, {size(search.size)}, of {home()}, the store and the sources"
    what = f"{plural(len(own.phrases), 'phrase')} of {own.phrases.words} words that no other document has"
    if not len(own.phrases):
        why = f"all of its {plural(own.all, 'phrase')} are in other documents too" if own.all else "it is too short"
        what = f"its names alone, since {why}"
    yield from ("", f"searched for {what}: {where}")
    lineage = {holding.artifact.location for holding in account.holdings if holding.affected or holding.detail}
    unexpected = [holder for holder in search.holders if holder.location and holder.location not in lineage and holder.how != "name"]
    yield from _listed("artifacts with its words that its lineage does not explain", unexpected)
    outside = [holder for holder in search.holders if not holder.location]
    yield from _listed("hold its words outside the artifacts", [holder for holder in outside if holder.how in ("copy", "words")])
    yield from _listed("weights that learned from it, outside the artifacts", [holder for holder in outside if holder.how == "learned"])
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

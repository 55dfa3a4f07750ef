"""What a search for a document's words found, by kind of place, with what removes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from flows.services.home import home
from tasks.lineage.own_phrases import OwnPhrases
from tasks.lineage.places import Place
from tasks.lineage.word_search import Holder, Search
from tasks.reporting.wording import plural, size

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

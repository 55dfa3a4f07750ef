"""Writes the universe to disk: books with faults, the truth about them, and the world.

The same config writes the same bytes anywhere. Takes about two seconds."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from data.universe.book import Book, file_name, later_edition, write_books
from data.universe.config import UniverseSource
from data.universe.pages import print_with_faults
from data.universe.questions import answers
from data.universe.world import World, build_world

if TYPE_CHECKING:
    from data.universe.book import Book
    from data.universe.pages import Fault


def write_truth(directory: Path, books: list[Book], originals: dict[str, tuple[str, str]], faults: list[tuple[str, Fault]]) -> None:
    """Write the tables. `originals`: {path of a copy: (path it repeats, exact or near)}; `faults`: (path, fault)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory.mkdir(parents=True, exist_ok=True)
    clean = {
        "path": [b.path for b in books],
        "title": [b.title for b in books],
        "text": ["\n\n".join(b.paragraphs) for b in books],
    }
    faults = sorted(faults, key=lambda row: (row[0], row[1].start, row[1].end, row[1].kind))
    columns: dict[str, list[str] | list[int]] = {
        "path": [path for path, _ in faults],
        "kind": [f.kind for _, f in faults],
        "paragraph": [f.paragraph for _, f in faults],
        "start": [f.start for _, f in faults],
        "end": [f.end for _, f in faults],
        "injected": [f.injected for _, f in faults],
        "original": [f.original for _, f in faults],
    }
    text, number = pa.string(), pa.int64()
    types = [(name, number if name in ("paragraph", "start", "end") else text) for name in columns]
    copies = {
        "path": list(originals),
        "original": [original for original, _ in originals.values()],
        "kind": [kind for _, kind in originals.values()],
    }
    pq.write_table(pa.table(clean, schema=pa.schema([(n, text) for n in clean])), directory / "clean.parquet")
    pq.write_table(pa.table(columns, schema=pa.schema(types)), directory / "faults.parquet")
    pq.write_table(pa.table(copies, schema=pa.schema([(n, text) for n in copies])), directory / "duplicates.parquet")


def truth_table(truth: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of `truth/<name>.parquet`. Raise FileNotFoundError if it is missing."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(truth / f"{name}.parquet").to_pylist()
    return rows


def write_universe(output: Path, config: UniverseSource) -> dict[str, float]:
    """Write `books/*.txt`, `truth/*.parquet` and `world.json`. Return the numbers of files, bytes, faults and facts.

    Raise FileExistsError, and write nothing, if `output/books` already holds files."""
    folder = output / "books"
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} already holds books; give write_universe an empty directory")
    folder.mkdir(parents=True, exist_ok=True)
    world = build_world(config.seed)
    books, mentions = write_books(world, config.seed, config.books)
    copies, originals = _copies_and_editions(books, config)
    faults: list[tuple[str, Fault]] = []
    printed: dict[str, bytes] = {}
    for book in (*books, *copies):
        source = originals.get(book.path, ("", ""))
        if not config.dirty:
            data, found = ("\n\n".join(book.paragraphs) + "\n").encode(), list["Fault"]()
        elif source[1] == "exact":
            data, found = printed[source[0]], [f for path, f in faults if path == source[0]]
        else:
            data, found = print_with_faults(book, config)
        printed[book.path] = data
        faults += [(book.path, fault) for fault in found]
        (output / book.path).write_bytes(data)
    write_truth(output / "truth", [*books, *copies], originals, faults)
    (output / "world.json").write_text(_world_json(world, mentions, config), encoding="utf-8")
    counts = {"files": len(printed), "bytes": sum(map(len, printed.values())), "faults": len(faults), "facts": len(world.facts)}
    return {name: float(count) for name, count in counts.items()}


def _copies_and_editions(books: list[Book], config: UniverseSource) -> tuple[list[Book], dict[str, tuple[str, str]]]:
    """Return copies and editions of some books, and {new path: (path it repeats, exact or near)}."""
    rng = Random(f"shelf:{config.seed}")
    wanted = min(len(books), config.exact_copies + config.near_editions)
    chosen = rng.sample(books, wanted)
    more: list[Book] = []
    originals: dict[str, tuple[str, str]] = {}
    for index, book in enumerate(chosen):
        exact = index < config.exact_copies
        path = file_name(len(books) + index + 1, book.title)
        originals[path] = (book.path, "exact" if exact else "near")
        more.append(Book(path, book.title, book.paragraphs) if exact else later_edition(book, path, rng))
    return more, originals


def _world_json(world: World, mentions: dict[str, dict[str, int]], config: UniverseSource) -> str:
    """Return the world and, for each fact, which books state it and how often (copies and editions not counted)."""
    facts = [
        {
            "id": fact.id, "attribute": fact.attribute, "entity": fact.entity, "value": fact.value,
            "answers": answers(fact, world.titles), "askable": fact.askable, "rare": fact.rare, "true": fact.true,
            "books": sorted(mentions.get(fact.id, {})), "tellings": sum(mentions.get(fact.id, {}).values()),
        }
        for fact in world.facts.values()
    ]  # fmt: skip
    content = {
        "seed": config.seed,
        "people": [{"name": name, "woman": name in world.women} for name in world.people],
        "titles": world.titles,
        "facts": facts,
    }
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"

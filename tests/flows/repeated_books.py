"""Two dozen books that repeat each other in every way, and their corpus: python -m tests.flows.repeated_books FOLDER STORE [CHANGE ...]"""

from __future__ import annotations

import sys
from pathlib import Path

from flows.recipe.initialize import write_recipe
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from tests.data.dedup.books import edited, prose

SHARDS = 3
RULES = ("dedup.keep=[known_words, longest]", "dedup.line.enabled=true", "dedup.substring={enabled: true, min_words: 30}")


def shelf(folder: Path, store: Path, *changes: str) -> Recipe:
    """Return a recipe for the books, which are written first if the folder is new."""
    if not folder.exists():
        folder.mkdir(parents=True)
        line, paragraph, passage = prose(902, 1, 1), prose(900, 1, 9), " ".join(prose(901, 1, 8).split())
        for number in range(24):
            shared = [paragraph] if number % 4 == 0 else [f"{prose(number + 300, 1)} {passage} {prose(number + 400, 1)}"]
            (folder / f"{number:02}.txt").write_text("\n\n".join([prose(number, 3), line, *shared, prose(number + 100, 2)]))
        (folder / "page.txt").write_text("\n\n".join([prose(500, 2), *[" ".join(prose(501, 3).split())] * 2, prose(502, 2)]))
        for number, share in ((1, 0.0), (2, 0.01), (3, 0.02)):
            text = (folder / f"{number:02}.txt").read_text()
            (folder / f"copy{number}.txt").write_text(edited(text, share) if share else text.upper())
        write_recipe(folder)
    settings = (f"ingest.shards={SHARDS}", *RULES, *changes)
    return load(str(folder), settings).model_copy(update={"store": str(store), "tracking": "none"})


if __name__ == "__main__":
    from tests.flows.test_corpus import make

    make(shelf(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))

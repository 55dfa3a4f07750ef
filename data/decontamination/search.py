"""Search for evaluation sets: their n-grams in each shard's documents, and which matches of all shards are passages of them.

Costs a pass over the texts, and reads the sets. Memory holds a few megabytes of text; DuckDB holds the n-grams and their matches, and
spills. Two different n-grams count as one if their 64-bit hashes collide: about one in 10^9.

Decides which matches in all shards are passages of evaluation sets, from ids, positions and hashes alone.

An n-gram in more than `common` documents is a common phrase and stays, whichever shards hold them. Costs no pass over any text; DuckDB
holds the matches and spills.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Unpack

import pyarrow as pa

from data.decontamination.config import PASSAGES, ContaminationConfig, SearchConfig
from data.decontamination.evaluation import ItemText, read_held_out, read_texts
from data.decontamination.sql import SQL
from data.documents.database import Database, Limits, by_shard, open_database, parquet
from data.documents.rows import RowWriter
from data.documents.slices import write_slices, write_table
from data.documents.stream import BATCH_CHARACTERS, batches, slices, sorted_by_id
from data.documents.words import gram_macro

MATCHES, SOUGHT, SETS = "matches.parquet", "sought.parquet", "sets.parquet"
# short: items too short to search for.
_SETS = pa.schema([pa.field(name, pa.string() if name == "name" else pa.int64()) for name in ("name", "items", "short")])


def search(
    documents: Path,
    output: Path,
    config: SearchConfig,
    *,
    root: Path,
    observed: Mapping[str, str] | None,
    held_out: Mapping[str, Sequence[Path]] | None = None,
    **limits: Unpack[Limits],
) -> dict[str, float]:
    """Write what was found in a shard, without texts, into `output`.

    matches.parquet: id, position (of the first word, from 1), size (words), gram (its hash). sought.parquet: the items that these n-grams
    are of: size, gram, name (the set), item (its number). sets.parquet: every set, with its numbers of items and of short ones.
    `held_out`: further sets, by name, which the run itself holds out: the files of documents or of questions.
    Return the number of matches. Raise EvaluationError if a set can't be read.
    """
    output.mkdir(parents=True, exist_ok=True)
    names = [*(evaluation.name for evaluation in config.against), *(held_out or {})]
    with open_database(**limits) as work:
        (source,) = sorted_by_id(work, [documents])
        items = _load(work, chain(read_texts(config, root, observed), read_held_out(held_out or {})), names, config)
        _match(work, source)
        write_table(work, "SELECT DISTINCT id, position::BIGINT AS position, size, gram FROM hit", output / MATCHES)
        write_table(work, "SELECT DISTINCT size, gram, name, item FROM wanted SEMI JOIN hit USING (size, gram)", output / SOUGHT)
        with RowWriter(output / SETS, _SETS) as sets:
            for name, count in items.items():
                searched = int(work.number(f"SELECT count(DISTINCT item) FROM wanted WHERE name = '{name}'"))
                sets.write({"name": name, "items": count, "short": count - searched})
        return {"matches": work.number("SELECT count(*) FROM hit")}


def _load(work: Database, items: Iterator[ItemText], names: Sequence[str], config: SearchConfig) -> dict[str, int]:
    """Fill table `wanted` with the n-grams of the sets, and return the number of items of each set."""
    work.set_variables(most_words=config.words, least_words=config.least_words)
    work.connection.execute(gram_macro("first_grams", config.least_words))
    work.connection.execute("CREATE TABLE prefix (gram UBIGINT)")
    work.connection.execute("CREATE TABLE wanted (name VARCHAR, item BIGINT, size UTINYINT, gram UBIGINT)")
    work.connection.execute("CREATE TABLE hit (id VARCHAR, position BIGINT, size UTINYINT, gram UBIGINT)")
    counts = dict.fromkeys(names, 0)
    for batch in _tables(items):
        work.run_on_batch(SQL / "prefixes.sql", batch)
        for size in range(config.least_words, config.words + 1):
            work.set_variables(size=size)
            work.connection.execute(gram_macro("decon_grams", size))
            work.run_on_batch(SQL / "items.sql", batch)
        counts |= {name: max(counts[name], item) for name, item in zip(*(batch[key].to_pylist() for key in ("name", "item")), strict=True)}
    return counts


def _tables(items: Iterator[ItemText]) -> Iterator[pa.Table]:
    rows: list[dict[str, str | int]] = []
    size = 0
    for text in items:
        rows.append(text._asdict())
        size += len(text.text)
        if size >= BATCH_CHARACTERS:
            yield pa.Table.from_pylist(rows)
            rows, size = [], 0
    if rows:
        yield pa.Table.from_pylist(rows)


def _match(work: Database, documents: Path) -> None:
    """Fill table `hit`."""
    sizes = [int(str(size)) for (size,) in work.rows("SELECT DISTINCT size FROM wanted ORDER BY size")]
    # With n-grams of one length all documents are searched directly; otherwise those that share no prefix with any n-gram are skipped.
    work.set_variables(direct=len(sizes) < 2)
    for batch in batches(documents, ("id", "text")) if sizes else ():
        for part in slices(batch):
            work.run_on_batch(SQL / "suspects.sql", part)
            for size in sizes if work.number("SELECT count(*) FROM suspect") else ():
                work.set_variables(size=size)
                work.connection.execute(gram_macro("decon_grams", size))
                work.run_file(SQL / "hits.sql")


_SLICES = """WITH passages AS (
    SELECT id, first, last, NULL::VARCHAR AS name, NULL::BIGINT AS item FROM passage
    UNION ALL SELECT id, first, last, name, item FROM contaminated)
SELECT shard AS slice, passages.* FROM passages JOIN place USING (id)"""


def find_contamination(found: Sequence[Path], output: Path, config: ContaminationConfig, **limits: Unpack[Limits]) -> dict[str, float]:
    """Write slices of the passages by shard: id, first and last word (from 1), name and item; without a name: words to cut.

    `found`: the folders that the search of each shard wrote, in order. Return phrases_common (n-grams that are ignored), and for each set
    `items_<set>`, `items_hit_<set>` and `items_short_<set>` (too short to search for).
    """
    with open_database(**limits) as work:
        work.set_variables(common=config.common)
        work.connection.execute(f"CREATE TABLE hit AS {by_shard([folder / MATCHES for folder in found])}")
        work.connection.execute("CREATE TABLE place AS SELECT DISTINCT id, shard FROM hit")
        work.connection.execute(f"CREATE TABLE wanted AS SELECT DISTINCT * FROM {parquet([folder / SOUGHT for folder in found])}")
        work.run_file(SQL / "passages.sql")
        write_slices(work, _SLICES, (output / PASSAGES).parent, config.shards)
        metrics = {"phrases_common": work.number("SELECT count(*) FROM common")}
        for name, items, short in work.rows(f"SELECT name, items, short FROM {parquet([found[0] / SETS])} ORDER BY name"):
            hit = work.number(f"SELECT count(DISTINCT item) FROM contaminated WHERE name = '{name}'")
            metrics |= {f"items_{name}": float(str(items)), f"items_hit_{name}": hit, f"items_short_{name}": float(str(short))}
        return metrics

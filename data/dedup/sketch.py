"""The first pass over the texts: cut repeated pages, and take a sketch and a signature of what is left of each document."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from data.dedup.config import DedupConfig
from data.dedup.near import SKETCH_SQL, NearDuplicates, word_hashes
from data.dedup.pages import find_repeated_pages
from data.dedup.sql import SQL
from data.dedup.texts import Texts
from data.documents.database import Database
from data.documents.stream import COLUMNS


def sketch_documents(work: Database, texts: Texts, near: NearDuplicates, config: DedupConfig) -> None:
    """Cut repeated pages, and fill tables `document` and `signature` from the texts that are left."""
    preferred = {
        "source": pa.array(config.prefer_sources, pa.string()),
        "preference": pa.array(range(len(config.prefer_sources)), pa.int64()),
    }
    texts.insert("preferred", pa.table(preferred))
    for batch in texts.batches(tuple(name for name in COLUMNS if name != "title")):
        sketch = work.query_batch(SKETCH_SQL, batch)
        if config.page.enabled and (repeats := find_repeated_pages(work, *word_hashes(sketch), config.page)):
            batch = texts.cut("page", batch, repeats)
            changed = pc.is_in(sketch["number"], pa.array(list(repeats)))
            again = batch.filter(pc.is_in(batch["number"], pa.array(list(repeats))))
            sketch = pa.concat_tables([sketch.filter(pc.invert(changed)), work.query_batch(SKETCH_SQL, again)])
        texts.insert("sketch", sketch.drop_columns("hashes"))
        work.run_on_batch(SQL / "add_documents.sql", batch)
        near.add_signatures(texts, batch, *word_hashes(sketch))

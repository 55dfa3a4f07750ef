"""Which copy of a document stays, by a stated rule, and why.

A person's writing goes before a machine's; then copies of a cluster are ranked by the criteria of `keep`, one after the other, and last
by the smallest id. The best stays, and what resembles it goes: directly, not through a third, so nothing is lost that no kept document
resembles. Of what remains the best stays again, and so on; each round looks only at what is still open. `reason` says by which criterion
a removed copy lost, with both values.

`known_words` is the mean, over a copy's words, of the share of all documents that hold the word, to the hundredth: an edition in modern
spelling has more of what the rest of the corpus says than one in old spelling. That criterion alone costs two more passes.
"""

from __future__ import annotations

from data.dedup.config import SQL, DedupConfig
from data.dedup.texts import Texts
from data.documents.database import Database


def choose_copies(work: Database, texts: Texts, config: DedupConfig) -> None:
    """Fills the tables `verdict` and `reason`, from `document`, `exact` and `component`."""
    work.run_file(SQL / "known.sql")
    work.set_variables(keep=" ".join(("human", *config.keep)), documents=int(work.number("SELECT count(*) FROM document")))
    if "known_words" in config.keep and work.number("SELECT count(*) FROM component"):
        for batch in texts.batches():
            work.run_on_batch(SQL / "words_in.sql", batch)
        work.run_file(SQL / "word_total.sql")
        for batch in texts.batches():
            work.run_on_batch(SQL / "knows.sql", batch)
    work.run_file(SQL / "keep.sql")
    while work.number("SELECT count(*) FROM open"):
        work.run_file(SQL / "leaders.sql")
        work.run_file(SQL / "verify.sql")
        work.run_file(SQL / "replaced.sql")
    work.run_file(SQL / "verdict.sql")

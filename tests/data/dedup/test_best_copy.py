"""Which copy stays, by every criterion, and that the ledger says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from data.dedup.config import Criterion, DedupConfig, LineRule, NearRule, ParagraphRule
from data.dedup.dedup import dedup
from data.documents.rows import DOCUMENTS
from tests.data.dedup.books import edited, kept_texts, prose, run

MODERN = (
    "I have seen the never-ending sea, and our love above it; we give the evil one up, and do not say we were unjust. "
    "The old king's bitter daughter will come upon the road before the sun is high, and speak of war and of her heart. "
)
OLD = (
    "I haue seene the neuer-ending sea, and our loue aboue it; we giue the euill one vp, and doe not say we were vniust. "
    "The olde kings bitter daughter will come vpon the roade before the sunne is high, and speake of warre and of her heart. "
)
FOLDED = NearRule(spelling="folded", shingle=3, threshold=0.4)


def _kept(folder: Path, rows: Sequence[Mapping[str, object]], *keep: Criterion, prefer: tuple[str, ...] = ()) -> tuple[str, str]:
    """Return the copy that stays and why, with `longest` as the last criterion."""
    folder.mkdir(parents=True, exist_ok=True)
    filled = [{"id": "", "title": "", "source": "s", "metadata": "{}", "synthetic": False, **row} for row in rows]
    pq.write_table(pa.Table.from_pylist(filled, schema=DOCUMENTS), folder / "documents.parquet")
    config = DedupConfig(keep=(*keep, "longest"), prefer_sources=prefer)
    dedup([folder / "documents.parquet"], folder / "out", config, threads=1, memory="300MB", scratch=folder / "scratch")
    (name,) = kept_texts(folder / "out")
    ledger = pq.read_table(folder / "out" / "ledger.parquet").to_pylist()
    (detail,) = {str(row["detail"]).partition(";")[0] for row in ledger if row["action"] == "duplicate"}
    return name, detail


def test_each_criterion_chooses_its_copy_and_the_ledger_names_it(tmp_path: Path) -> None:
    text = prose(1)
    near = edited(text, 0.005)
    twins = [{"id": "a", "text": near}, {"id": "b", "text": text + " ..."}]
    assert _kept(tmp_path / "longest", twins)[0] == ("b" if len(text) + 4 > len(near) else "a")
    human: list[dict[str, object]] = [{"id": "a", "text": text + " ...", "synthetic": True}, {"id": "b", "text": text}]
    assert _kept(tmp_path / "human", human) == ("b", "kept b: human: a person's against a machine's")
    title = [{"id": "a", "text": text + " ...", "metadata": json.dumps({"title_mismatch": True})}, {"id": "b", "text": text}]
    assert _kept(tmp_path / "title", title, "title") == ("b", "kept b: title: its own against a wrong one")
    source = [{"id": "a", "text": text, "source": "web"}, {"id": "b", "text": near, "source": "library"}]
    assert _kept(tmp_path / "source", source, "source", prefer=("library",)) == ("b", "kept b: source: library against web")
    same = [{"id": "a", "text": text}, {"id": "b", "text": text}]
    assert _kept(tmp_path / "same", same) == ("a", "kept a: smallest id")


@pytest.mark.parametrize("old", ["a", "b"])
def test_the_spelling_that_the_corpus_uses_is_kept(tmp_path: Path, old: str) -> None:
    new = "b" if old == "a" else "a"
    words = sorted(set(MODERN.split()))
    others = {f"m{k}": " ".join(Random(k).sample(words, len(words))) for k in range(8)}
    texts = {old: OLD + " And so it ended, all of it, in the end.", new: MODERN, **others}
    config = DedupConfig(near=FOLDED, keep=("known_words", "longest"), paragraph=ParagraphRule(enabled=False))
    output, metrics = run(tmp_path, texts, config)
    assert set(kept_texts(output)) == set(texts) - {old} and metrics["documents_near"] == 1
    (row,) = [row for row in pq.read_table(output / "ledger.parquet").to_pylist() if row["action"] == "duplicate"]
    assert row["detail"].startswith(f"kept {new}: known_words: 0.") and "against" in row["detail"]
    assert metrics["pairs_near"] == 1
    assert (
        run(tmp_path / "exact", texts, config.model_copy(update={"near": FOLDED.model_copy(update={"spelling": "exact"})}))[1]["pairs_near"]
        == 0
    )


def test_a_criterion_or_a_count_that_would_do_nothing_is_refused() -> None:
    given: list[dict[str, list[str]]] = [{"keep": ["source"]}, {"prefer_sources": ["web"]}, {"keep": ["longest", "longest"]}, {"keep": []}]
    for wrong in given:
        with pytest.raises(ValidationError):
            DedupConfig.model_validate(wrong)
    with pytest.raises(ValidationError, match="documents=5 does nothing while scope=document"):
        LineRule(enabled=True, scope="document", documents=5)

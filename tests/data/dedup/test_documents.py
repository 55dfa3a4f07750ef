from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dedup.config import DedupConfig, NearRule, ParagraphRule
from data.dedup.dedup import dedup
from data.documents import stream
from data.documents.sharding import SHARD_DOCUMENTS
from tests.data.dedup.books import bytes_of, edited, kept_texts, prose, rows_of, run, write

CLUSTER = DedupConfig(near=NearRule(action="cluster"))


def _clusters(output: Path) -> dict[str, str]:
    return {row["id"]: row["cluster"] for row in pq.read_table(output / "clusters.parquet").to_pylist()}


def test_documents_equal_in_their_words_keep_the_longest_then_the_smallest_id(tmp_path: Path) -> None:
    text = prose(1)
    output, metrics = run(tmp_path, {"a": text, "b": text.upper() + " ---", "c": text.lower(), "d": prose(2)})
    assert set(kept_texts(output)) == {"b", "d"}
    assert _clusters(output) == {"a": "a", "b": "a", "c": "a", "d": "d"}
    assert metrics["documents_exact"] == 2
    rows = {row["id"]: row for row in pq.read_table(output / "ledger.parquet").to_pylist()}
    assert (rows["a"]["action"], rows["a"]["rule"]) == ("duplicate", "exact_document")
    assert rows["a"]["detail"] == f"kept b: longest: {len(text) + 4} characters against {len(text)} characters; the words of b"


def test_the_longest_copy_of_a_near_duplicate_cluster_stays_and_pairs_explain_it(tmp_path: Path) -> None:
    text = prose(1, paragraphs=10)
    output, metrics = run(tmp_path, {"a": text, "b": edited(text, 0.01) + " One more line.", "c": prose(3)})
    assert set(kept_texts(output)) == {"b", "c"}
    (pair,) = pq.read_table(output / "pairs.parquet").to_pylist()
    assert (pair["a"], pair["b"], pair["rule"]) == ("a", "b", "near") and 0.7 <= pair["jaccard"] < 1
    assert metrics["documents_near"] == 1 and metrics["clusters"] == 2


def test_a_near_duplicate_is_kept_and_clustered_when_asked_and_loses_no_paragraph_to_its_twin(tmp_path: Path) -> None:
    text = prose(1, paragraphs=10)
    twin = edited(text, 0.01)
    assert set(twin.split("\n\n")) & set(text.split("\n\n"))
    output, _ = run(tmp_path, {"a": text, "b": twin, "c": prose(3)}, CLUSTER)
    assert kept_texts(output) == {"a": text, "b": twin, "c": prose(3)}
    assert _clusters(output) == {"a": "a", "b": "a", "c": "c"}


def test_documents_similar_only_through_a_third_are_one_cluster(tmp_path: Path) -> None:
    text = prose(1, paragraphs=40)
    texts = {"c": edited(text, 0.03, 1), "a": text, "b": edited(text, 0.03, 2)}
    config = DedupConfig(near=NearRule(action="cluster", threshold=0.7))
    output, _ = run(tmp_path, texts, config)
    near = {(row["a"], row["b"]) for row in pq.read_table(output / "pairs.parquet").to_pylist()}
    assert near == {("a", "b"), ("a", "c")}
    assert set(_clusters(output).values()) == {"a"}


def test_kept_texts_three_words_are_no_near_duplicates(tmp_path: Path) -> None:
    texts = {"1": "The cat sat.", "2": "The dog slept.", "3": "The cat slept.", "4": "The dog sat."}
    output, metrics = run(tmp_path, texts)
    assert kept_texts(output) == texts
    assert metrics["clusters"] == 4


def test_a_copy_is_removed_only_if_a_kept_document_resembles_it(tmp_path: Path) -> None:
    left, middle, right = (prose(seed, paragraphs=20) for seed in (1, 2, 3))
    texts = {"a": f"{left}\n\n{middle}", "b": f"{middle}\n\n{right}\n\n{prose(4, 1)}", "c": right}
    config = DedupConfig(near=NearRule(threshold=0.25, rows=2), paragraph=ParagraphRule(enabled=False))
    output, metrics = run(tmp_path, texts, config)
    assert set(_clusters(output).values()) == {"a"} and metrics["documents_near"] == 2
    assert set(kept_texts(output)) == {"b"}
    output, _ = run(tmp_path / "bridge", texts | {"a": texts["a"] + prose(5, 9), "c": right + prose(6, 30)}, config)
    assert set(_clusters(output).values()) == {"a"} and set(kept_texts(output)) == {"a", "c"}


def test_documents_without_words_are_removed_and_do_not_count_as_copies(tmp_path: Path) -> None:
    output, metrics = run(tmp_path, {"a": "", "b": " ... ", "c": "\n", "d": prose(1)})
    assert set(kept_texts(output)) == {"b", "d"}
    assert metrics["documents_empty"] == 2 and metrics["clusters"] == 4


def test_a_large_bucket_still_becomes_one_cluster(tmp_path: Path) -> None:
    text = prose(1, paragraphs=8)
    texts = {f"{k:02}": edited(text, 0.004, k) for k in range(30)}
    output, metrics = run(tmp_path, texts, DedupConfig(near=NearRule(bucket=4)))
    assert len(kept_texts(output)) == 1 and metrics["pairs_candidate"] < 30 * 29 / 2


def test_shards_give_the_bytes_of_one_file_and_keep_their_own_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def joint(folder: Path) -> dict[str, str]:
        return {name: digest for name, digest in bytes_of(folder).items() if not name.startswith(("documents/", "sizes/"))}

    monkeypatch.setattr(stream, "BATCH_CHARACTERS", 3000)  # so that batches end differently for every number of files
    base = {f"{k}": prose(k, paragraphs=4) for k in range(6)}
    page = " ".join(prose(50, paragraphs=3).split())
    texts = base | {"a": edited(base["1"], 0.02), "b": base["2"].lower(), "c": f"{base['3']}\n\n{prose(99, 1, 12)}"}
    texts |= {"d": f"{prose(99, 1, 12)}\n\n{base['4']}", "e": f"{prose(51)}\n\n{page}\n\n{page}\n\n{prose(52)}"}
    output, metrics = run(tmp_path / "one", texts)
    assert all(metrics[found] for found in ("documents_exact", "documents_near", "pages_removed", "paragraphs_removed"))
    names = sorted(texts)
    for cuts in ((0, 4, 4, 11), (0, 1, 2, 3, 5, 8, 11), (0, 0, 11, 11)):
        files = [write(tmp_path / f"{cuts}" / f"{k}", {n: texts[n] for n in names[i:j]}) for k, (i, j) in enumerate(pairwise(cuts))]
        found = tmp_path / f"{cuts}" / "out"
        dedup(files, found, DedupConfig(), threads=1, memory="500MB", scratch=tmp_path / "scratch")
        assert joint(found) == joint(output)
        assert rows_of(found) == rows_of(output) and rows_of(found, "sizes") == rows_of(output, "sizes")
        for shard, (i, j) in enumerate(pairwise(cuts)):
            held = pq.read_table(found / SHARD_DOCUMENTS.format(shard))["id"].to_pylist()
            assert held == [name for name in names[i:j] if name in kept_texts(output)]


def test_neither_order_nor_threads_change_a_byte(tmp_path: Path) -> None:
    base = {f"{k}": prose(k, paragraphs=4) for k in range(6)}
    shared = prose(99, paragraphs=1, sentences=12)
    texts = base | {"7": edited(base["1"], 0.02), "8": base["2"].lower()}
    texts |= {"9": base["3"] + "\n\n" + shared, "x": shared + "\n\n" + base["4"]}
    expected = bytes_of(run(tmp_path / "expected", texts)[0])

    @settings(max_examples=5, deadline=None, database=None)
    @given(st.permutations(sorted(texts)), st.sampled_from((1, 2, 4)))
    def law(order: list[str], threads: int) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            assert bytes_of(run(Path(folder), texts, threads=threads, order=order)[0]) == expected

    law()


def test_a_repeated_id_and_a_missing_column_are_named(tmp_path: Path) -> None:
    documents = write(tmp_path, {"a": "x"}, order=["a", "a"])
    with pytest.raises(ValueError, match="document id a comes more than once"):
        dedup([documents], tmp_path / "out", DedupConfig(), threads=1, memory="200MB", scratch=tmp_path / "s")
    pq.write_table(pa.table({"id": ["a"], "text": ["x"]}), documents)
    with pytest.raises(ValueError, match="no column title, source, metadata"):
        dedup([documents], tmp_path / "out", DedupConfig(), threads=1, memory="200MB", scratch=tmp_path / "s")


def test_no_documents_give_empty_files(tmp_path: Path) -> None:
    output, metrics = run(tmp_path, {})
    assert kept_texts(output) == {} and metrics["documents_in"] == 0


def test_each_shard_keeps_its_own_documents_by_id_even_where_ids_overlap_or_nothing_stays(tmp_path: Path) -> None:
    texts = {name: prose(number) for number, name in enumerate("abcdefgh")} | {"i": prose(0)}
    held = ["hbd", "", "ceag", "i", "f"]
    shards = [write(tmp_path / f"in{n}", {name: texts[name] for name in names}, order=list(names)) for n, names in enumerate(held)]
    dedup(shards, tmp_path / "out", DedupConfig(), threads=1, memory="500MB", scratch=tmp_path / "scratch")
    kept = [sorted(set(names) - {"i"}) for names in held]
    for folder in ("documents", "sizes"):
        files = [tmp_path / "out" / folder / f"{number:04}.parquet" for number in range(len(held))]
        assert [pq.read_table(path)["id"].to_pylist() for path in files] == kept and len(rows_of(tmp_path / "out", folder)) == 8
    sizes = {row["id"]: (row["characters"], row["source"], row["synthetic"]) for row in rows_of(tmp_path / "out", "sizes")}
    assert sizes == {name: (len(texts[name]), "test", False) for name in "abcdefgh"}

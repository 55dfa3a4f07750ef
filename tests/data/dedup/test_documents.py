from __future__ import annotations

import re
import tempfile
from itertools import combinations, pairwise
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dedup.config import DedupConfig, NearRule, PageRule, ParagraphRule
from data.dedup.dedup import dedup
from data.documents import stream
from tests.data.dedup.books import bytes_of, edited, prose, run, texts_of, write

CLUSTER = DedupConfig(near=NearRule(action="cluster"))


def _clusters(output: Path) -> dict[str, str]:
    table = pq.read_table(output / "clusters.parquet")
    return dict(zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True))


def test_documents_equal_in_their_words_keep_the_longest_then_the_smallest_id(tmp_path: Path) -> None:
    text = prose(1)
    output, metrics = run(tmp_path, {"a": text, "b": text.upper() + " ---", "c": text.lower(), "d": prose(2)})
    assert set(texts_of(output)) == {"b", "d"}
    assert _clusters(output) == {"a": "a", "b": "a", "c": "a", "d": "d"}
    assert metrics["documents_exact"] == 2
    rows = {row["id"]: row for row in pq.read_table(output / "ledger.parquet").to_pylist()}
    assert (rows["a"]["action"], rows["a"]["rule"]) == ("duplicate", "exact_document")
    assert rows["a"]["detail"] == f"kept b: longest: {len(text) + 4} characters against {len(text)} characters; the words of b"


def test_of_a_near_duplicate_cluster_the_longest_copy_stays_and_the_pairs_say_why(tmp_path: Path) -> None:
    text = prose(1, paragraphs=10)
    output, metrics = run(tmp_path, {"a": text, "b": edited(text, 0.01) + " One more line.", "c": prose(3)})
    assert set(texts_of(output)) == {"b", "c"}
    (pair,) = pq.read_table(output / "pairs.parquet").to_pylist()
    assert (pair["a"], pair["b"], pair["rule"]) == ("a", "b", "near") and 0.7 <= pair["jaccard"] < 1
    assert metrics["documents_near"] == 1 and metrics["clusters"] == 2


def test_a_near_duplicate_is_kept_and_clustered_when_asked_and_loses_no_paragraph_to_its_twin(tmp_path: Path) -> None:
    text = prose(1, paragraphs=10)
    twin = edited(text, 0.01)
    assert set(twin.split("\n\n")) & set(text.split("\n\n"))
    output, _ = run(tmp_path, {"a": text, "b": twin, "c": prose(3)}, CLUSTER)
    assert texts_of(output) == {"a": text, "b": twin, "c": prose(3)}
    assert _clusters(output) == {"a": "a", "b": "a", "c": "c"}


def test_documents_alike_only_through_a_third_are_one_cluster(tmp_path: Path) -> None:
    text = prose(1, paragraphs=40)
    texts = {"c": edited(text, 0.03, 1), "a": text, "b": edited(text, 0.03, 2)}
    config = DedupConfig(near=NearRule(action="cluster", threshold=0.7))
    output, _ = run(tmp_path, texts, config)
    near = {(row["a"], row["b"]) for row in pq.read_table(output / "pairs.parquet").to_pylist()}
    assert near == {("a", "b"), ("a", "c")}
    assert set(_clusters(output).values()) == {"a"}


def test_texts_of_three_words_are_no_near_duplicates(tmp_path: Path) -> None:
    texts = {"1": "The cat sat.", "2": "The dog slept.", "3": "The cat slept.", "4": "The dog sat."}
    output, metrics = run(tmp_path, texts)
    assert texts_of(output) == texts
    assert metrics["clusters"] == 4


def test_documents_without_words_are_removed_and_do_not_count_as_copies(tmp_path: Path) -> None:
    output, metrics = run(tmp_path, {"a": "", "b": " ... ", "c": "\n", "d": prose(1)})
    assert set(texts_of(output)) == {"b", "d"}
    assert metrics["documents_empty"] == 2 and metrics["clusters"] == 4


def _jaccard(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> float:
    return len(left & right) / len(left | right)


def test_clusters_are_those_of_brute_force_jaccard(tmp_path: Path) -> None:
    random = Random(5)
    texts: dict[str, str] = {}
    for seed in range(90):
        text = prose(seed, paragraphs=3)
        for copy in range(random.choice((1, 2, 4))):
            texts[f"{random.randrange(16**8):08x}"] = edited(text, random.choice((0.0, 0.01, 0.03, 0.3)), copy) if copy else text
    shingles = {}
    for name, text in texts.items():
        words = re.findall(r"[a-z0-9]+", text.lower())
        shingles[name] = {tuple(words[k : k + 5]) for k in range(len(words) - 4)}
    expected = {name: name for name in texts}
    for left, right in combinations(sorted(texts), 2):
        if _jaccard(shingles[left], shingles[right]) >= 0.7:
            low, high = sorted((expected[left], expected[right]))
            expected = {name: low if cluster == high else cluster for name, cluster in expected.items()}
    output, _ = run(tmp_path, texts, DedupConfig(page=PageRule(enabled=False), near=NearRule(action="cluster")))
    assert len(texts) > 150 and len(set(expected.values())) < len(texts) - 50
    assert _clusters(output) == expected
    for pair in pq.read_table(output / "pairs.parquet").to_pylist():
        assert pair["jaccard"] == pytest.approx(_jaccard(shingles[pair["a"]], shingles[pair["b"]]))


def test_a_large_bucket_still_becomes_one_cluster(tmp_path: Path) -> None:
    text = prose(1, paragraphs=8)
    texts = {f"{k:02}": edited(text, 0.004, k) for k in range(30)}
    output, metrics = run(tmp_path, texts, DedupConfig(near=NearRule(bucket=4)))
    assert len(texts_of(output)) == 1 and metrics["pairs_candidate"] < 30 * 29 / 2


def test_the_files_of_shards_give_the_bytes_of_one_file_that_holds_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BATCH_CHARACTERS", 3000)  # so that batches end elsewhere in every division
    base = {f"{k}": prose(k, paragraphs=4) for k in range(6)}
    page = " ".join(prose(50, paragraphs=3).split())
    texts = base | {"a": edited(base["1"], 0.02), "b": base["2"].lower(), "c": f"{base['3']}\n\n{prose(99, 1, 12)}"}
    texts |= {"d": f"{prose(99, 1, 12)}\n\n{base['4']}", "e": f"{prose(51)}\n\n{page}\n\n{page}\n\n{prose(52)}"}
    output, metrics = run(tmp_path / "one", texts)
    assert all(metrics[found] for found in ("documents_exact", "documents_near", "pages_removed", "paragraphs_removed"))
    names = sorted(texts)
    for cuts in ((0, 4, 4, 11), (0, 1, 2, 3, 5, 8, 11), (0, 0, 11, 11)):
        files = [write(tmp_path / f"{cuts}" / f"{k}", {n: texts[n] for n in names[i:j]}) for k, (i, j) in enumerate(pairwise(cuts))]
        dedup(files, tmp_path / f"{cuts}" / "out", DedupConfig(), threads=1, memory="500MB", scratch=tmp_path / "scratch")
        assert bytes_of(tmp_path / f"{cuts}" / "out") == bytes_of(output)


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


def test_every_document_and_every_character_is_in_the_ledger(tmp_path: Path) -> None:
    pool = [prose(k, paragraphs=1, sentences=8) for k in range(5)]
    runs = iter(range(1000))

    @settings(max_examples=6, deadline=None, database=None)
    @given(st.lists(st.lists(st.integers(0, 4), max_size=7), min_size=1, max_size=8))
    def law(books: list[list[int]]) -> None:
        texts = {f"{k:02}": "\n\n".join(pool[part] for part in book) for k, book in enumerate(books)}
        config = DedupConfig(page=PageRule(min_words=40), paragraph=ParagraphRule(min_characters=100))
        output, metrics = run(tmp_path / str(next(runs)), texts, config)
        rows = pq.read_table(output / "ledger.parquet").to_pylist()
        closing = [row["id"] for row in rows if row["action"] != "cut"]
        assert sorted(closing) == sorted(texts)
        assert {row["id"] for row in rows if row["action"] == "kept"} == set(texts_of(output))
        assert sum(map(len, texts.values())) == metrics["characters_kept"] + sum(row["net"] for row in rows)

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
    assert texts_of(output) == {} and metrics["documents_in"] == 0

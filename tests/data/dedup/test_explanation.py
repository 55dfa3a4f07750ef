from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.dedup.config import DedupConfig, NearRule
from data.dedup.explanation import Link, explain, shared_passages
from tests.data.dedup.books import edited, prose, run, write


def test_the_shortest_chain_of_pairs_and_the_longest_shared_passages_are_returned(tmp_path: Path) -> None:
    text = prose(1, paragraphs=40)
    texts = {"b": edited(text, 0.03, 1), "a": text, "c": edited(text, 0.03, 2), "d": text.upper(), "e": prose(2)}
    output, _ = run(tmp_path, texts, DedupConfig(near=NearRule(action="cluster")))
    documents = [write(tmp_path / name, {name: texts[name]}) for name in texts]
    explanation = explain(output / "pairs.parquet", documents, "b", "d")
    assert [(link.a, link.b, link.rule) for link in explanation.links] == [("b", "a", "near"), ("a", "d", "exact")]
    assert 0.7 <= explanation.links[0].jaccard < 1 and explanation.links[1].jaccard == 1
    assert len(explanation.shared) == 5 and all(passage in texts["b"] for passage in explanation.shared)
    lengths = [len(passage.split()) for passage in explanation.shared]
    assert lengths == sorted(lengths, reverse=True) and lengths[-1] >= 8
    assert explain(output / "pairs.parquet", documents, "a", "d").links == (Link("a", "d", "exact", 1.0),)


def test_a_missing_document_or_one_of_another_cluster_is_named(tmp_path: Path) -> None:
    texts = {"a": prose(1), "b": prose(2)}
    output, _ = run(tmp_path, texts)
    documents = [write(tmp_path, texts)]
    with pytest.raises(LookupError, match="document z is in none of the 1 files"):
        explain(output / "pairs.parquet", documents, "a", "z")
    with pytest.raises(LookupError, match="documents a and b are in different clusters"):
        explain(output / "pairs.parquet", documents, "a", "b")


WORDS = st.lists(st.sampled_from("abcde"), max_size=30)


@given(WORDS, WORDS)
def test_the_first_passage_is_the_longest_that_both_share(left: list[str], right: list[str]) -> None:
    found = [passage.split() for passage in shared_passages(" ".join(left), " ".join(right))]
    parts = {tuple(left[i:j]) for i in range(len(left)) for j in range(i + 1, len(left) + 1)}
    common = [part for part in parts if any(tuple(right[k : k + len(part)]) == part for k in range(len(right)))]
    assert len(found[0] if found else []) == max(map(len, common), default=0)
    assert all(tuple(passage) in common for passage in found) and len(found) <= 5


def test_passages_are_quoted_from_the_first_text() -> None:
    left = 'He said: "It was the best of times, it was the worst of times" - and left.'
    right = "and it was the best of times It was the worst of times and so on"
    assert shared_passages(left, right) == ('It was the best of times, it was the worst of times" - and',)

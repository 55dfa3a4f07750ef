"""Decontamination against plain Python after the paper: which words match, what is common, what is left and what is listed."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.decontamination.config import DecontaminateConfig, EvaluationSet
from data.decontamination.decontaminate import cut
from data.decontamination.evaluation import EvaluationError, evaluation_digests
from data.documents.words import spans
from tests.data.decontamination.sharded import decontaminate_shards
from tests.data.dedup.books import prose, write

Texts = dict[str, str]


def _config(*sets: EvaluationSet, **more: object) -> DecontaminateConfig:
    return DecontaminateConfig.model_validate({"against": sets or (EvaluationSet(name="exam", paths=("exam.jsonl",)),), **more})


def _items(folder: Path, items: list[Any], name: str = "exam.jsonl") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(item) + "\n" for item in items))


def _run(folder: Path, texts: Texts, config: DecontaminateConfig, *, threads: int = 1, memory: str = "500MB") -> dict[str, float]:
    limits: Any = {"threads": threads, "memory": memory, "scratch": folder / "scratch"}
    return decontaminate_shards([write(folder, texts)], folder / f"out{threads}", config, root=folder, **limits)


def _rows(folder: Path, file: str, out: str = "out1") -> list[dict[str, Any]]:
    return [row for path in sorted((folder / out).glob(f"*/{file}")) for row in pq.read_table(path).to_pylist()]


def _words(text: str) -> list[str]:
    return [text[start:end].lower() for start, end in spans(text)]


def _quote(text: str, first: int, words: int) -> str:
    places = spans(text)
    return text[places[first][0] : places[first + words - 1][1]]


def _colliding(texts: Texts, items: list[str], config: DecontaminateConfig) -> dict[str, set[int]]:
    """Return document -> the words (from 0) covered by n-grams of items, without common n-grams."""
    wanted = set()
    for item in map(_words, items):
        size = min(len(item), config.words)
        if size >= config.least_words:
            wanted |= {tuple(item[k : k + size]) for k in range(len(item) - size + 1)}
    sizes = {len(gram) for gram in wanted}
    places: defaultdict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for name, text in texts.items():
        words = _words(text)
        for size in sizes:
            for k in range(len(words) - size + 1):
                if (gram := tuple(words[k : k + size])) in wanted:
                    places[gram].append((name, k))
    covered: defaultdict[str, set[int]] = defaultdict(set)
    for gram, where in places.items():
        if len({name for name, _ in where}) <= config.common:
            for name, k in where:
                covered[name] |= set(range(k, k + len(gram)))
    return covered


def _expected(text: str, covered: set[int], config: DecontaminateConfig) -> str:
    """Return the text without the runs of covered words."""
    places, runs = spans(text), list[list[int]]()
    for word in sorted(covered):
        if runs and runs[-1][1] == word - 1:
            runs[-1][1] = word
        else:
            runs.append([word, word])
    return cut(text, [(places[first][0], places[last][1]) for first, last in runs], config.cutting).text


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"words": 9, "least_words": 5, "common": 2},
        {"window": 0, "min_characters": 0, "max_pieces": 99, "common": 1},
        {"action": "drop"},
    ],
    ids=["as published", "shorter", "bare", "drop"],
)
def test_the_result_equals_that_of_plain_python(tmp_path: Path, more: dict[str, object]) -> None:
    random = Random(7)
    texts = {f"d{k:02}": prose(k, paragraphs=5) for k in range(20)}
    items = []
    for _ in range(60):
        quoted = texts[f"d{random.randrange(12):02}"]
        items.append(_quote(quoted, random.randrange(120), random.choice((4, 7, 8, 9, 12, 13, 14, 40))).upper())
    items += [prose(900 + k, 1, 1) for k in range(10)]
    common = "and the common phrase of them all is one that everybody knows by heart of course"
    # One in three documents, and one in fifteen.
    texts |= {name: f"{text}\n\n{common}" for name, text in texts.items() if name >= "d05"}
    texts |= {name: f"{text}\n\n{prose(500, 1, 1)} {prose(501, 1, 1)}" for name, text in texts.items() if name >= "d17"}
    items += [common, f"{prose(500, 1, 1)} {prose(501, 1, 1)}"]
    _items(tmp_path, [{"question": item, "number": 1} for item in items])
    config = _config(**more)
    metrics = _run(tmp_path, texts, config)
    covered = _colliding(texts, items, config)
    expected = {name: _expected(text, covered[name], config) if covered[name] else text for name, text in texts.items()}
    assert {row["id"]: row["text"] for row in _rows(tmp_path, "documents.parquet")} == {k: v for k, v in expected.items() if v}
    assert metrics["documents_contaminated"] == len({name for name, words in covered.items() if words}) > 3
    listed: defaultdict[str, set[int]] = defaultdict(set)
    for row in _rows(tmp_path, "contaminated.parquet"):
        listed[row["id"]] |= set(range(row["place"] - 1, row["place"] - 1 + row["words"]))
        assert " ".join(_words(row["excerpt"])) in " ".join(_words(items[row["item"] - 1])) and row["evaluation"] == "exam"
        assert row["excerpt"] == _quote(texts[row["id"]], row["place"] - 1, row["words"])[:400]
    assert listed == {name: words for name, words in covered.items() if words}
    assert metrics["items_exam"] == len(items)
    assert metrics["items_short_exam"] == sum(len(_words(item)) < config.least_words for item in items)
    assert metrics["items_hit_exam"] == len({row["item"] for row in _rows(tmp_path, "contaminated.parquet")})


def test_a_phrase_in_more_than_ten_documents_stays_and_is_counted(tmp_path: Path) -> None:
    phrase = "the whole of this phrase of thirteen words and a few stands in very many of them"
    _items(tmp_path, [{"text": phrase}])
    for documents, contaminated in ((10, 10), (11, 0)):
        texts = {f"d{k:02}": f"{prose(k)}\n\n{phrase}" for k in range(documents)} | {"other": prose(99)}
        metrics = _run(tmp_path, texts, _config())
        assert metrics["documents_contaminated"] == contaminated and (metrics["phrases_common"] > 0) == (contaminated == 0)


def test_any_number_of_shards_gives_the_rows_and_metrics_of_one(tmp_path: Path) -> None:
    texts = {f"{k:016x}": prose(k, 5) for k in range(0, 1 << 62, 1 << 58)}
    phrase = "the whole of this phrase of thirteen words and a few stands in very many of them"
    texts |= {name: f"{text}\n\n{phrase}" for name, text in list(texts.items())[2:8]}
    quotes = [_quote(text, 30, 20) for text in texts.values()]
    _items(tmp_path, [{"text": text} for text in [phrase, *quotes, f"{quotes[0]} {prose(901, 1, 1)}"]])
    config, made = _config(common=3), []
    for count in (1, 2, 5):
        names = sorted(texts)
        parts = [names[len(names) * n // count : len(names) * (n + 1) // count] for n in range(count)]
        shards = [write(tmp_path / f"in{count}-{n}", {name: texts[name] for name in part}) for n, part in enumerate(parts)]
        limits: Any = {"threads": 1, "memory": "500MB", "scratch": tmp_path / "scratch"}
        metrics = decontaminate_shards(shards, tmp_path / f"out{count}", config, root=tmp_path, **limits)
        files = ("documents.parquet", "sizes.parquet", "contaminated.parquet", "ledger.parquet", "removed/decontamination.parquet")
        made.append((metrics, {file: _rows(tmp_path, file, f"out{count}") for file in files}))
        assert max(len([name for name in part if phrase in texts[name]]) for part in parts) <= 3 or count < 5
    # No shard of five has the phrase in more documents than `common`, and all together have.
    assert made[0] == made[1] == made[2] and metrics["phrases_common"] > 0 and metrics["documents_contaminated"] == len(texts)
    assert all(phrase in row["text"] for row in made[0][1]["documents.parquet"] if phrase in texts[row["id"]])


def test_every_document_is_accounted_for_and_removed_text_is_kept(tmp_path: Path) -> None:
    texts = {"cut": prose(1, 9), "gone": prose(2, 1, 3), "whole": prose(3)}
    _items(tmp_path, [{"text": _quote(texts["cut"], 150, 20)}, {"text": _quote(texts["gone"], 3, 15)}])
    metrics = _run(tmp_path, texts, _config())
    ledger = {(row["id"], row["action"]): row for row in _rows(tmp_path, "ledger.parquet")}
    assert sorted(ledger) == [("cut", "cut"), ("cut", "kept"), ("gone", "removed"), ("whole", "kept")]
    left = {row["id"]: row["text"] for row in _rows(tmp_path, "documents.parquet")}
    assert ledger["cut", "cut"]["net"] == len(texts["cut"]) - len(left["cut"]) > 400
    assert ledger["gone", "removed"]["detail"] == "no piece is long enough to keep"
    removed = {(row["id"], row["place"]): row["text"] for row in _rows(tmp_path, "removed/decontamination.parquet")}
    assert removed["gone", 0] == texts["gone"]
    (place,) = (place for name, place in removed if name == "cut")
    assert texts["cut"][place - 1 :].startswith(removed["cut", place]) and _quote(texts["cut"], 150, 20) in removed["cut", place]
    assert metrics["characters_removed"] == ledger["cut", "cut"]["net"] + len(texts["gone"]) and metrics["documents_dropped"] == 1


def test_sets_are_read_from_every_format_and_fields_are_searched_separately(tmp_path: Path) -> None:
    texts = {f"d{k}": prose(k, 9) for k in range(6)}
    quotes = [_quote(text, 30, 16) for text in texts.values()]
    sets = tmp_path / "sets"
    _items(sets, [{"q": {"text": ["nothing", quotes[0]]}, "a": quotes[1]}])
    with (sets / "b.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["q", "a"], ["no", quotes[2].replace(" ", "\n")]])
    pq.write_table(pa.table({"q": ["no", None, quotes[3]], "a": [1, 2, 3]}), sets / "c.parquet")
    (sets / "d.txt").write_text(f"First of all.\n\n  \n{quotes[4][:30]}\n{quotes[4][30:]}\n")
    endings = {"j": "jsonl", "c": "csv", "p": "parquet", "t": "txt"}
    every = [EvaluationSet(name=name, paths=(f"sets/*.{ending}",)) for name, ending in endings.items()]
    metrics = _run(tmp_path, texts, _config(*every))
    found = {(row["evaluation"], row["item"], row["id"]) for row in _rows(tmp_path, "contaminated.parquet")}
    assert found == {("j", 1, "d0"), ("j", 1, "d1"), ("c", 1, "d2"), ("p", 3, "d3"), ("t", 2, "d4")}
    counted = {name: (metrics[f"items_{name}"], metrics[f"items_hit_{name}"]) for name in endings}
    assert counted == {"j": (1, 1), "c": (1, 1), "p": (3, 1), "t": (2, 1)}
    metrics = _run(tmp_path, texts, _config(EvaluationSet(name="j", paths=("sets/exam.jsonl",), fields=("a",))))
    assert {row["id"] for row in _rows(tmp_path, "contaminated.parquet")} == {"d1"}


@pytest.mark.parametrize(
    ("name", "content", "fields", "message"),
    [
        ("none.jsonl", None, (), "'none.jsonl' matches no file under .*; correct decontaminate.against"),
        ("a.docx", "x", (), "a.docx has none of the suffixes .jsonl, .csv, .parquet, .txt"),
        ("a.jsonl", '{"a": "b"}\n{"a": \n', (), "a.jsonl: .*an evaluation set must be read whole"),
        ("a.jsonl", '{"a": "b"}\n{"c": "b"}\n', ("a",), r"a.jsonl: item 2 has no field 'a' \(it has c\)"),
        ("a.txt", "words\n", ("a",), r"a.txt: item 1 has no field 'a' \(it has no fields\)"),
        ("a.parquet", "no parquet", (), "a.parquet: .*must be read whole"),
    ],
)
def test_a_set_that_cannot_be_read_completely_is_an_error_that_names_it(
    tmp_path: Path, name: str, content: str | None, fields: tuple[str, ...], message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(EvaluationError, match=message):
        _run(tmp_path, {"d": prose(1)}, _config(EvaluationSet(name="set", paths=(name,), fields=fields)))


def test_the_key_holds_names_and_contents_of_sets_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    _items(tmp_path / "sets", ["one"])
    config = _config(EvaluationSet(name="exam", paths=("sets/*.jsonl",)))
    state = evaluation_digests(config.searching, tmp_path, None, lambda paths: {path: "digest" for path in paths})
    assert state == {"exam/sets/exam.jsonl": "digest"}
    with pytest.raises(EvaluationError, match=r"exam/sets/exam.jsonl changed during the run"):
        decontaminate_shards([write(tmp_path, {"d": "text"})], tmp_path / "out", config, root=tmp_path, observed=state, threads=1,
                             memory="500MB", scratch=tmp_path / "scratch")  # fmt: skip


def test_threads_and_memory_change_no_byte_and_no_documents_are_no_error(tmp_path: Path) -> None:
    texts = {f"d{k:02}": prose(k, 5) for k in range(30)}
    _items(tmp_path, [{"text": _quote(texts[f"d{k:02}"], 9 * k, 20)} for k in range(12)])
    made = []
    for threads, memory in ((1, "200MB"), (3, "1GB")):
        _run(tmp_path, texts, _config(), threads=threads, memory=memory)
        made.append({path.name: path.read_bytes() for path in (tmp_path / f"out{threads}").rglob("*.parquet")})
    assert made[0] == made[1] and len(made[0]) == 5
    assert _run(tmp_path / "none", {}, _config(EvaluationSet(name="exam", paths=("../exam.jsonl",))))["items_exam"] == 12
    assert not _rows(tmp_path / "none", "documents.parquet") and not _rows(tmp_path / "none", "contaminated.parquet")


def test_contradictions_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="two sets are named 'a'"):
        _config(EvaluationSet(name="a", paths=("x",)), EvaluationSet(name="a", paths=("y",)))
    with pytest.raises(ValueError, match=r"decontaminate.least_words=8 is more than decontaminate.words=5"):
        _config(words=5)

"""The funnel against plain Python: it counts whatever happens to documents in any shards, and finds what a ledger omits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.audit.config import AuditConfig
from data.documents.rows import DOCUMENTS, LEDGER, QUARANTINE, write_rows
from data.shards.names import SPLITS
from tests.data.audit.sharded import audit_shards
from tests.data.audit.stages import Row, ingest_rows, ledger_row, row, rows_of, through, write_stage

LIMITS: dict[str, Any] = {"threads": 1, "memory": "500MB"}
fates = st.lists(st.tuples(st.sampled_from(["kept", "kept", "removed", "duplicate"]), st.integers(-3, 6)), min_size=6, max_size=6)


@settings(max_examples=15)
@given(st.lists(st.text("ab\n", max_size=9), min_size=6, max_size=6), st.lists(fates, min_size=1, max_size=3), st.integers(1, 3))
def test_input_equals_kept_plus_removed_at_every_stage(
    tmp_path_factory: pytest.TempPathFactory, contents: list[str], stages: list[Any], shards: int
) -> None:
    root = tmp_path_factory.mktemp("funnel")
    texts = {f"d{number}": text for number, text in enumerate(contents)}
    folders = {"ingest": write_stage(root / "ingest", shards, rows_of(texts), ingest_rows(texts))}
    expected: list[tuple[int, int, int, int]] = []
    rows: dict[str, list[Row]] = {}
    for number, happening in enumerate(stages):
        before, stage = texts, f"stage{number}"
        texts, rows[stage] = through(stage, texts, happening)
        folders[stage] = write_stage(root / stage, shards, rows_of(texts), rows[stage])
        expected.append((len(before), len(texts), sum(map(len, before.values())), sum(map(len, texts.values()))))
    found = _funnel(root, folders)
    names = ("documents_in", "documents", "characters_in", "characters")
    assert [tuple(entry[name] for name in names) for entry in found[1:]] == expected
    for entry in found:
        assert entry["balanced"] and "fault" not in entry
        assert entry["documents_in"] == entry["documents"] + entry["documents_removed"]
        went = sum(entry[f"characters_{how}"] for how in ("removed", "cut", "changed"))
        assert entry["characters_in"] == entry["characters"] + went
    for stage, entry in zip(rows, found[1:], strict=True):
        pieces = Counter((one["action"], one["rule"]) for one in rows[stage] if one["action"] != "kept")
        assert {(action, rule): n["pieces"] for action, by in entry["rules"].items() for rule, n in by.items()} == pieces


def _funnel(root: Path, folders: dict[str, list[Path]]) -> list[dict[str, Any]]:
    """Return the stages of the funnel of a corpus whose splits are empty."""
    splits = [root / "split" / str(number) for number in range(len(folders["ingest"]))]
    for path in (folder / f"{part}.parquet" for folder in splits for part in SPLITS):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, DOCUMENTS, [])
    audit_shards(folders, splits, root / "audit", AuditConfig(), **LIMITS, scratch=root / "scratch")
    stages: list[dict[str, Any]] = json.loads((root / "audit" / "funnel.json").read_text())["stages"]
    return stages


def _less(rows: list[Row]) -> list[Row]:
    return [{**rows[0], "net": rows[0]["net"] - 1}, *rows[1:]]


OMISSIONS: dict[str, tuple[Callable[[list[Row]], list[Row]], str]] = {
    "a character": (_less, "document a: 9 characters came in, 6 came out, its ledger records 2 removed, in 1 closing rows"),
    "a document": (lambda rows: rows[2:], "document a: 9 characters came in, 6 came out, its ledger records 0 removed, in 0 closing rows"),
    "a removed document": (
        lambda rows: rows[:2],
        "document b: 4 characters came in, 0 came out, its ledger records 0 removed, in 0 closing rows",
    ),
    "a fate told twice": (
        lambda rows: [*rows, rows[2]],
        "document b: 4 characters came in, 0 came out, its ledger records 8 removed, in 2",
    ),
    "a document from nowhere": (lambda rows: [*rows, ledger_row("c", "clean", "removed", "x", 1, 1)], "document c: 0 characters came in"),
    "a fate that is another": (lambda rows: [*rows[:2], {**rows[2], "action": "kept"}], "document b: 4 characters came in, 0 came out"),
}


@pytest.mark.parametrize("omission", OMISSIONS)
def test_a_document_that_a_ledger_omits_is_named(omission: str, tmp_path: Path) -> None:
    texts = {"a": "123456789", "b": "1234"}
    left, rows = through("clean", texts, [("kept", 3), ("removed", 0)])
    change, fault = OMISSIONS[omission]
    folders = {
        "ingest": write_stage(tmp_path / "ingest", 1, rows_of(texts), ingest_rows(texts)),
        "clean": write_stage(tmp_path / "clean", 1, rows_of(left), change(rows)),
    }
    first, second = _funnel(tmp_path, folders)
    assert first["balanced"] and not second["balanced"]
    assert f"clean does not account for {fault}" in second["fault"]


def _audited(folder: Path, read: list[Row], parts: dict[str, list[Row]], aside: list[Row] | None = None) -> tuple[dict[str, float], Any]:
    (folder / "ingest").mkdir()
    write_rows(folder / "ingest" / "documents.parquet", DOCUMENTS, read)
    write_rows(folder / "ingest" / "quarantine.parquet", QUARANTINE, aside or [])
    write_rows(
        folder / "ingest" / "ledger.parquet", LEDGER, [ledger_row(one["id"], "ingest", "kept", "read", len(one["text"]), 0) for one in read]
    )
    (folder / "split").mkdir()
    for part in ("train", "val", "test"):
        write_rows(folder / "split" / f"{part}.parquet", DOCUMENTS, parts.get(part, []))
    kept = {one["id"]: one for rows in parts.values() for one in rows}
    fates = [(one, one["id"] in kept) for one in read]
    ledger = [
        ledger_row(one["id"], "split", "kept" if stays else "removed", "", n := len(one["text"]), 0 if stays else n) for one, stays in fates
    ]
    write_rows(folder / "split" / "ledger.parquet", LEDGER, ledger)
    ledgers = {"ingest": [folder / "ingest"], "split": [folder / "split"]}
    metrics = audit_shards(ledgers, [folder / "split"], folder / "audit", AuditConfig(), **LIMITS, scratch=folder / "scratch")
    return metrics, json.loads((folder / "audit" / "funnel.json").read_text())


def test_sources_formats_and_languages_are_counted_in_and_kept(tmp_path: Path) -> None:
    read = [row("a", "aaaa", '{"format": "txt"}'), row("b", "bb", '{"format": "html"}', source="t"), row("c", "c", "{}")]
    kept = [row("a", "aaa", '{"format": "txt", "language": "en"}'), row("c", "c", '{"language": "fr"}')]
    _, report = _audited(tmp_path, read, {"train": kept[:1], "val": kept[1:]})
    assert report["sources"]["t"] == {"documents_in": 1, "characters_in": 2, "documents": 0, "characters": 0}
    assert report["formats"]["txt"] == {"documents_in": 1, "characters_in": 4, "documents": 1, "characters": 3}
    assert report["formats"]["unknown"]["documents_in"] == 1
    assert report["languages"] == {"en": {"documents": 1, "characters": 3}, "fr": {"documents": 1, "characters": 1}}


def test_properties_without_values_are_left_out(tmp_path: Path) -> None:
    _, report = _audited(tmp_path, [row("a", "aaaa")], {"train": [row("a", "aaaa")]})
    assert report["formats"] == report["languages"] == report["quarantined"] == {}


def test_quarantined_files_are_counted_by_reason_with_the_first_few_named(tmp_path: Path) -> None:
    aside = [{"source": "s", "path": f"{number}.bin", "reason": f"no text: {number} NULs"} for number in range(7)]
    metrics, report = _audited(
        tmp_path, [row("a", "a")], {"train": [row("a", "a")]}, [*aside, {"source": "s", "path": "x", "reason": "empty"}]
    )
    assert report["quarantined"]["no text"] == {"files": 7, "shown": [f"s/{number}.bin" for number in range(5)]}
    assert report["quarantined"]["empty"]["files"] == 1 and metrics["quarantined_files"] == 8


def test_at_most_fifty_wrong_titles_are_named_and_all_are_counted(tmp_path: Path) -> None:
    wrong = [row(f"w{number:02}", "w", json.dumps({"path": f"{number:02}.txt", "title_mismatch": True})) for number in range(60)]
    metrics, report = _audited(tmp_path, [*wrong, row("x", "x", '{"path": "x.txt"}')], {"train": [row("x", "x")]})
    titles = report["title_mismatches"]
    assert titles["documents"] == metrics["title_mismatches"] == 60 and len(titles["shown"]) == 50
    assert titles["shown"][0] == {"id": "w00", "source": "s", "path": "00.txt", "title": "T w00"}


def test_the_synthetic_share_is_reported_for_the_corpus_and_each_split(tmp_path: Path) -> None:
    rows = [row("a", "a" * 60), row("b", "b" * 20, synthetic=True), row("c", "c" * 20)]
    metrics, report = _audited(tmp_path, rows, {"train": rows[:2], "test": rows[2:]})
    assert report["synthetic"] == {"documents": 1, "characters": 20, "share": 0.2} and metrics["synthetic_share"] == 0.2
    assert [part["synthetic"] for part in report["splits"]] == [0.25, 0.0, 0.0]


def test_splits_that_are_copies_of_train_hold_each_document_once(tmp_path: Path) -> None:
    rows = [row("a", "aa"), row("b", "bb"), row("m", "mm", synthetic=True)]
    metrics, report = _audited(tmp_path, rows, {"train": rows, "val": rows[:2], "test": rows[:2]})
    assert metrics["documents_kept"] == 3 and metrics["characters_kept"] == 6 and metrics["balanced"] == 1
    assert [part["documents"] for part in report["splits"]] == [3, 2, 2]


def test_a_document_in_two_splits_unbalances_the_last_stage(tmp_path: Path) -> None:
    rows = [row("a", "aa"), row("b", "bb"), row("c", "cc")]
    metrics, report = _audited(tmp_path, rows, {"train": rows[:2], "val": rows[1:]})
    assert metrics["balanced"] == 0 and "document b" in report["stages"][1]["fault"]


def test_what_documents_lost_inside_is_counted_by_kind_with_its_size(tmp_path: Path) -> None:
    rows = [
        ("a.html#comments", "comments, 1,200 characters in 3 places"),
        ("b.html#comments", "comments, 30 characters in 1 place, in line 3"),
        ("c.rtf#pict", "pict, 70 bytes in 1 place"),
        ("w.warc#request", "2 of type request"),
    ]
    aside = [{"source": "s", "path": path, "reason": f"not read: {what}"} for path, what in rows]
    _, report = _audited(tmp_path, [row("a", "a")], {"train": [row("a", "a")]}, aside)
    assert report["quarantined"] == {
        "not read": {"files": 1, "shown": ["s/w.warc#request"]},
        "not read: comments": {"files": 2, "shown": ["s/a.html", "s/b.html"], "size": 1230, "unit": "characters"},
        "not read: pict": {"files": 1, "shown": ["s/c.rtf"], "size": 70, "unit": "bytes"},
    }

"""The funnel against plain Python: it counts whatever happens to documents in any shards, and finds what a ledger omits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.audit.audit import audit
from data.audit.config import AuditConfig
from data.audit.funnel import funnel
from data.documents.database import open_database
from data.documents.schema import DOCUMENTS, LEDGER, QUARANTINE, write_rows

Texts = dict[str, str]
Row = dict[str, Any]


def ledger_row(identity: str, stage: str, action: str, rule: str, characters: int, net: int) -> Row:
    return {"id": identity, "stage": stage, "action": action, "rule": rule, "count": 1, "characters": characters, "net": net, "detail": ""}


def row(identity: str, text: str, metadata: str = "{}", *, source: str = "s", synthetic: bool = False) -> Row:
    return {"id": identity, "title": f"T {identity}", "source": source, "text": text, "metadata": metadata, "synthetic": synthetic}


def through(stage: str, texts: Texts, fates: Sequence[tuple[str, int]]) -> tuple[Texts, list[Row]]:
    """Return texts and ledger after a stage. Each document has an action, and the characters that a rule cuts or adds first."""
    left: Texts = {}
    ledger: list[Row] = []
    for (name, text), (action, size) in zip(sorted(texts.items()), fates, strict=False):
        if 0 < size <= len(text):
            text = text[size:]
            ledger.append(ledger_row(name, stage, "cut", "front", size, size))
        elif size < 0:
            text += "+" * -size
            ledger.append(ledger_row(name, stage, "changed", "longer", 1, size))
        ledger.append(
            ledger_row(name, stage, action, "" if action == "kept" else f"by {action}", len(text), 0 if action == "kept" else len(text))
        )
        if action == "kept":
            left[name] = text
    return left, ledger


def write_stage(folder: Path, shards: int, texts: Texts, ledger: list[Row], *, documents: bool = True) -> list[Path]:
    """Write the files of a stage, distributed to shards by id."""
    places = [folder / str(number) for number in range(shards)]
    for number, place in enumerate(places):
        place.mkdir(parents=True)
        write_rows(place / "ledger.parquet", LEDGER, [one for one in ledger if hash_of(one["id"]) % shards == number])
        if documents:
            here = sorted(name for name in texts if hash_of(name) % shards == number)
            write_rows(place / "documents.parquet", DOCUMENTS, [row(name, texts[name]) for name in here])
    return places


def ingest_rows(texts: Texts) -> list[Row]:
    """Return the ledger rows of ingest."""
    return [ledger_row(name, "ingest", "kept", "read", len(text), 0) for name, text in texts.items()]


def hash_of(name: str) -> int:
    return sum(map(ord, name))


fates = st.lists(st.tuples(st.sampled_from(["kept", "kept", "removed", "duplicate"]), st.integers(-3, 6)), min_size=6, max_size=6)


@settings(max_examples=15)
@given(st.lists(st.text("ab\n", max_size=9), min_size=6, max_size=6), st.lists(fates, min_size=1, max_size=3), st.integers(1, 3))
def test_input_equals_kept_plus_removed_at_every_stage(
    tmp_path_factory: pytest.TempPathFactory, contents: list[str], stages: list[Any], shards: int
) -> None:
    root = tmp_path_factory.mktemp("funnel")
    texts = {f"d{number}": text for number, text in enumerate(contents)}
    ledgers = {"ingest": write_stage(root / "ingest", shards, texts, ingest_rows(texts))}
    expected: list[tuple[int, int, int, int]] = []
    rows: dict[str, list[Row]] = {}
    for number, happening in enumerate(stages):
        before, stage = texts, f"stage{number}"
        texts, rows[stage] = through(stage, texts, happening)
        # Every other stage has no documents, so its ledger alone counts.
        ledgers[stage] = write_stage(root / stage, shards, texts, rows[stage], documents=number % 2 == 0)
        expected.append((len(before), len(texts), sum(map(len, before.values())), sum(map(len, texts.values()))))
    with open_database(root / "scratch", threads=1, memory="200MB") as work:
        found = funnel(work, ledgers)
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
    ledgers = {
        "ingest": write_stage(tmp_path / "ingest", 1, texts, ingest_rows(texts)),
        "clean": write_stage(tmp_path / "clean", 1, left, change(rows)),
    }
    with open_database(tmp_path / "scratch", threads=1, memory="200MB") as work:
        first, second = funnel(work, ledgers)
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
    metrics = audit(ledgers, [folder / "split"], folder / "audit", AuditConfig(), threads=1, memory="500MB", scratch=folder / "scratch")
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

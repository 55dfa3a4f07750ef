"""Two runs side by side: what differs in their inputs and results, from the journal and the records alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flows.cli.views.lineage import compare_runs
from model.evaluation.intervals import Units, bootstrap_ratio, write_units
from model.evaluation.plain_words import shift_of
from tasks.lineage.compare import Comparison, compare, comparison_json, shifts
from tests.tasks.lineage.corpus_store import MOBY, TEXTS, Corpus, shard_of
from tests.tasks.records import artifact, commit

FIRST, SECOND = "20261125T130501-3fa2bc", "20261125T140000-000000"
SLOW = {"sft": {"rate": 0.5, "steps": 10}, "rates": {"currency": "EUR", "cpu_hour": 3600.0, "gpu_hour": 0.0}}
QUICK = {"sft": {"rate": 2.0, "steps": 10, "warm": True}, "rates": {"currency": "EUR", "cpu_hour": 3600.0, "gpu_hour": 0.0}}
OTHERS = {"moby.txt": "Call me Isabel.", "new.txt": "A new book that nobody has read before, of some length."}


@pytest.fixture
def two(corpus: Corpus) -> Corpus:
    """Two runs: the second with another rate, a changed book, a new one and one fewer."""
    corpus.record(FIRST, configuration=SLOW)
    texts = {name: text for name, text in TEXTS.items() if name != "tale.txt"}
    corpus.run("2", {**texts, **OTHERS}, rate=2.0)
    corpus.record(SECOND, configuration=QUICK, accepted={"pack": "only a comment"}, reused=["tokenizer"])
    return corpus


def compared(corpus: Corpus) -> Comparison:
    """Compare the first run with the second."""
    journal = corpus.snapshot.journal
    return compare(corpus.snapshot, journal.get("books~1"), journal.get("books"))


def test_configuration_differs_by_dotted_keys_with_old_and_new_value(two: Corpus) -> None:
    assert compared(two).configuration == {"sft.rate": ("0.5", "2.0"), "sft.warm": (None, "true")}


def test_a_group_that_is_new_or_empty_on_one_side_is_told_by_its_members_alone(corpus: Corpus) -> None:
    corpus.record(FIRST, configuration={})
    corpus.record(SECOND, configuration={"model": {"width": 8}})
    assert compared(corpus).configuration == {"model.width": (None, "8")}
    corpus.record(FIRST, configuration={"model": {}, "tuning": [], "notes": {}})
    corpus.record(SECOND, configuration={"model": {"width": 8}, "tuning": [{"kind": "sft"}]})
    assert compared(corpus).configuration == {"model.width": (None, "8"), "tuning[0].kind": (None, '"sft"'), "notes": ("{}", None)}


def test_code_and_libraries_that_differ_are_named_with_the_stages_that_read_them(two: Corpus) -> None:
    read = compared(two).read
    assert {str(change): stages for change, stages in read.code.items()} == {"ran `loss` in model/loss.py, which changed": ("pretrain",)}
    assert {str(change): stages for change, stages in read.libraries.items()} == {"library torch: 0.5 -> 2.0": ("pretrain",)}
    assert "ingest" in read.unknown


def test_added_removed_and_changed_documents_are_named_and_equal_ones_are_not(two: Corpus) -> None:
    books = compared(two).documents
    assert [book.path for book in books.added] == ["new.txt"]
    assert [book.path for book in books.removed] == ["tale.txt"]
    assert [book.id for book in books.changed] == [MOBY]
    assert set(compared(two).files) == {"books/moby.txt", "books/new.txt", "books/tale.txt"}


def test_only_shards_that_differ_are_read(corpus: Corpus) -> None:
    corpus.record(FIRST)
    untouched = 1 - shard_of(MOBY)
    corpus.run("2", {**TEXTS, "moby.txt": "Call me Isabel, and nothing else."})
    corpus.record(SECOND)
    corpus.store.fs.rm(f"{corpus.store.root}/{corpus.made[f'ingest[{untouched}]'].files_at}/documents.parquet")
    assert [book.id for book in compared(corpus).documents.changed] == [MOBY]


def test_missing_document_files_are_reported(two: Corpus) -> None:
    for made in two.snapshot.graph.newest_first:
        if made.stage == "ingest":
            two.store.fs.rm(f"{two.store.root}/{made.files_at}/documents.parquet")
    assert "documents.parquet is gone" in compared(two).documents.problem


def test_metrics_gates_and_costs_of_both_are_compared(two: Corpus) -> None:
    found = compared(two)
    assert found.metrics["evaluate.base.val.loss"] == (1.0, 4.0)
    assert found.metrics["ingest.documents"] == (6.0, 6.0)
    assert found.gates == {"gate.base": ("passed", "failed")}
    assert found.acceptances == [(SECOND, "pack", "only a comment")]
    assert "pretrain" in found.outputs
    assert "gate.base" not in found.outputs
    found = json.loads(json.dumps(comparison_json(found)))
    assert found["first"]["cost"]["money"] == pytest.approx(found["first"]["cost"]["cpu_seconds"])
    assert found["second"]["places"]["tokenizer"]["action"] == "reused"
    assert found["metrics"]["evaluate.base.diverged"] == {"first": "nan", "second": "nan"}, "JSON has no word for it"
    assert found["configuration"]["sft.warm"] == {"first": None, "second": True}


def test_a_difference_is_taken_row_by_row_where_the_rows_are_the_same(corpus: Corpus) -> None:
    if corpus.store.local_root is None:
        pytest.skip("rows are read from a disk")
    corpus.run("1")
    for version, better in (("1", 0.0), ("2", 0.02)):
        folder = corpus.store.scratch(f"units-{version}") / "output"
        folder.mkdir(parents=True)
        # Rows differ far more from each other than the models do: only pairs show that the second is better, in the same way each time.
        value = np.linspace(1.0, 9.0, 60) - better
        write_units(folder, {"val.bits_per_byte": Units(np.arange(60), value, np.ones(60), "rows")})
        metrics = bootstrap_ratio(value, np.ones(60), seed=0, resamples=200, confidence=0.95).metrics("val.bits_per_byte")
        corpus.made["evaluate.x"] = commit(corpus.store, folder, artifact(folder, stage="evaluate", name=version, metrics=metrics))
        corpus.record(FIRST if version == "1" else SECOND)
    shift = shifts(corpus.store, compared(corpus))["evaluate.x.val.bits_per_byte"]
    assert shift.paired and shift.beyond_noise and shift.value == pytest.approx(-0.02)
    text = compare_runs(FIRST, SECOND, store=corpus.store.url)
    assert "beyond noise: -0.02 to -0.02" in text
    then, now = ({name: pair[side] or 0.0 for name, pair in compared(corpus).metrics.items()} for side in (0, 1))
    apart = shift_of(then, now, "evaluate.x.val.bits_per_byte")
    assert apart is not None and not apart.beyond_noise


def test_equal_runs_differ_in_nothing(corpus: Corpus) -> None:
    corpus.record(FIRST, configuration=SLOW)
    corpus.record(SECOND, configuration=SLOW)
    found = compared(corpus)
    assert not any(
        (
            found.configuration,
            found.read.code,
            found.read.libraries,
            found.files,
            found.outputs,
            found.documents.added,
            found.documents.changed,
        )
    )
    assert {a == b or str(a) == str(b) for a, b in found.metrics.values()} == {True}


def test_the_text_has_all_differences_and_leaves_equal_metrics_out(two: Corpus) -> None:
    if two.store.local_root is None:
        pytest.skip("the text is the same")
    text = compare_runs("books~1", SECOND, store=two.store.url)
    for expected in (
        f"{FIRST}  books, finished",
        "sft.rate: 0.5 -> 2.0",
        "sft.warm: not set -> true",
        "ran `loss` in model/loss.py, which changed (pretrain)",
        "library torch: 0.5 -> 2.0 (pretrain)",
        "added: books/new.txt (1)",
        "pack in 20261125T140000-000000: only a comment",
        "+3 (+300.0%)",
        "passed  failed",
        "EUR",
    ):
        assert expected in text, expected
    assert "ingest.documents" not in text
    assert "diverged" not in text, "no number is as equal to itself as can be"


def test_a_missing_record_is_named(two: Corpus) -> None:
    two.store.fs.rm(f"{two.store.root}/{two.made['pretrain'].location}", recursive=True)
    found = compared(two)
    assert found.second.missing == ["pretrain"]
    assert found.read.code == {}

"""The report's section on held-out text: true to the audit's tables, escaped, and left out where nobody measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.audit.config import AuditConfig
from tests.data.audit.sharded import audit_shards
from tests.data.dedup.books import prose, write
from tests.tasks.reporting.example_run import FUNNEL, HOSTILE, Page, RunMaker, predicted


def _page(home: Path, texts: dict[str, dict[str, str]], **more: dict[str, float]) -> Page:
    """The page of a run whose splits hold these texts."""
    maker = RunMaker(home)
    for part, documents in texts.items():
        write(home / part, documents, titles={name: f"Title of {name} {HOSTILE}" for name in documents}).rename(home / f"{part}.parquet")
    metrics = audit_shards({}, [home], home / "audit", AuditConfig(), threads=1, memory="500MB", scratch=home / "scratch")
    for stage, measured in more.items():
        maker.made(stage, metrics=measured)
    tables = {file: (home / "audit" / file).read_bytes() for file in ("leaks.parquet", "leaked_documents.parquet")}
    maker.made("audit", {"funnel.json": FUNNEL, **tables}, metrics=metrics, config={"words": 13})
    return maker.page()


QUOTE = "words that stand in two places are what this section is about and nobody should miss them here"


def test_the_longest_shared_passages_are_shown_with_where_else_they_occur(tmp_path: Path) -> None:
    train, val, test = ({name: f"{prose(seed)}\n\n{QUOTE} {HOSTILE}"} for seed, name in enumerate(("learnt", "chosen by", "judged by")))
    page = _page(tmp_path, {"train": train, "val": val, "test": test})
    section = page.sections["held-out"]
    assert section.count(QUOTE) == 3 and "Title of learnt" in section and "(validation)" in section
    assert "of validation in train" in section and "of test in validation" in section
    assert not [tag for tag, _ in page.tags if tag in ("script", "img")] and "<script>alert(1)</script>" in page.text


def test_splits_without_leaks_say_so_and_synthetic_and_removed_text_is_counted(tmp_path: Path) -> None:
    split, assigned = {"synthetic_documents": 6.0}, {"synthetic_share": 0.0417}
    taken = {"passages": 1.5, "documents_contaminated": 1.0, "characters_removed": 617.0}
    decided = {"items_exam": 90.0, "items_hit_exam": 4.0, "items_short_exam": 7.0}
    by_shard = {f"split[{n}]": split for n in range(2)} | {f"decontaminate[{n}]": taken for n in range(2)}
    texts = {part: {part: prose(seed)} for seed, part in enumerate(("train", "val", "test"))}
    section = _page(tmp_path, texts, **by_shard, assign=assigned, contamination=decided).sections["held-out"]
    assert "0 % of validation in train, 0 % of test in train and 0 % of test in validation" in section
    assert "A machine wrote 12 documents of train, 4.2 % of its characters." in section
    assert "3 passages in 2 documents were removed from the corpus, 1,234 characters in all." in section
    assert "exam 90 4 7" in section and "longest passages" not in section


def test_an_audit_that_measured_no_leaks_has_no_such_section(tmp_path: Path) -> None:
    maker = RunMaker(tmp_path)
    maker.made("audit", {"funnel.json": FUNNEL}, metrics={"documents_in": 1.0, "documents_kept": 1.0})
    assert "held-out" not in maker.page().sections


@pytest.mark.parametrize(
    ("leaked", "said"), [(1.0, "test, a copy of train, so not on unseen text"), (0.4, "test, of which train holds 4 documents, so not on")]
)
def test_the_tile_of_a_test_set_that_was_trained_on_says_so(tmp_path: Path, leaked: float, said: str) -> None:
    maker = RunMaker(tmp_path)
    maker.made("audit", {"funnel.json": FUNNEL}, metrics={"documents_in": 4.0, "documents_kept": 4.0, "leak_test": leaked})
    maker.made("baseline", metrics={"test.documents_in_train": 4.0})
    maker.made("evaluate.release", {"samples.jsonl": []}, metrics=predicted(0.2))
    assert said in maker.page().text

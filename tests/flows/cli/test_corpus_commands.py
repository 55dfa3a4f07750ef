"""`folio corpus` on a corpus whose every change is known: what it shows, counts, opens and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.splits.config import LargeCluster
from flows.cli.views.corpus_removed import corpus_stats, explain_duplicates, show_removed
from flows.cli.views.corpus_show import show_document
from flows.cli.views.diff_rendering import CUT, NEW, OLD, differing, plain, printable
from tasks.stage.store.store import Store
from tests.tasks.lineage.edited_corpus import ALICE, IDS, SHELF, WHITE, EditedCorpus


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> EditedCorpus:
    """A corpus with every stage."""
    place = tmp_path_factory.mktemp("account")
    return EditedCorpus(Store(str(place / "store"), place / "cache")).write()


def shown(account: EditedCorpus, document: str, **options: Any) -> str:
    return plain(show_document(document, store=account.store.url, **options))


def test_a_document_s_origin_outcome_and_rules_are_shown_stage_by_stage(told: EditedCorpus) -> None:
    text = shown(told, "Alice in Wonderland")
    assert "from: source books, path alice.txt, format txt, encoding utf-8, language en (0.98)" in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in ("ingest kept, 193 characters", "clean kept, 154 characters", "cut running heads 2 43 -45", "changed misread words 1 22 +7",
                 "filter kept, 154 characters", "decontaminate kept, 154 characters", "split kept in train"):  # fmt: skip
        assert line in lines


@pytest.mark.parametrize("name", ["alice.txt", "books/alice.txt", "Alice in Wonderland", IDS["alice.txt"]])
def test_a_document_is_found_by_its_file_path_title_and_id(told: EditedCorpus, name: str) -> None:
    assert f"document {IDS['alice.txt']}: books/alice.txt" in shown(told, name)


def test_each_changed_line_is_shown_before_and_after_with_its_rules_and_neighbours(told: EditedCorpus) -> None:
    text = shown(told, "alice.txt")
    assert (
        """
clean, place 2
                 ALICE IN WONDERLAND
- quotes         Alice was tired -- "very" tired.
+ quotes         Alice was tired -- “very” tired.
+ dashes         Alice was tired — “very” tired.
                 She had nothing to do.
"""
        in text
    )
    assert "- running heads  ALICE IN WONDERLAND   12" in text
    assert "clean, place 3, round 2" in text and "+ misread words  She had nothing at all to do." in text


def test_the_differing_part_is_highlighted_and_cut_text_is_struck_out(told: EditedCorpus) -> None:
    spans = [span for line in show_document("alice.txt", store=told.store.url) for span in line]
    assert ('"', OLD) in spans and ("“", NEW) in spans and ("—", NEW) in spans
    assert ("ALICE IN WONDERLAND   12", CUT) in spans


def test_only_what_one_rule_did_is_shown_when_asked(told: EditedCorpus) -> None:
    text = shown(told, "alice.txt", rule="running_heads")
    assert "changes, 2 of 2" in text and "quotes         " not in text.partition("changes, ")[2]
    with pytest.raises(LookupError, match=r"No rule 'runing' touched document .*alice.txt.* These did: .*running heads"):
        shown(told, "alice.txt", rule="runing")


def test_a_limit_shows_some_changes_of_every_rule_and_says_how_many_more_there_are(told: EditedCorpus) -> None:
    text = shown(told, "alice.txt", limit=3)
    assert "changes, 3 of 4; 1 more with --full, --limit or --rule" in text
    assert "- running heads" in text and "+ dashes" in text and "+ misread words" in text


def test_full_shows_the_whole_text_before_and_after(told: EditedCorpus) -> None:
    text = shown(told, "alice.txt", full=True)
    before, after = text.split("as it is now, 154 characters\n")
    assert "as it was read, 193 characters" in before and f"- quotes, dashes  {ALICE.splitlines()[1]}" in before
    assert after == f"Alice was tired — “very” tired.\nShe had nothing at all to do.\n{WHITE}"


def test_a_removed_passage_names_the_document_that_keeps_it(told: EditedCorpus) -> None:
    assert f"- paragraph  {WHITE}  [{IDS['alice.txt']} (books/alice.txt)]" in shown(told, "quoting.txt")


def test_redacted_personal_data_is_never_shown(told: EditedCorpus) -> None:
    changed = shown(told, "letter.txt").partition("changes, ")[2]
    assert "- e-mail  e-mail, 15 characters\n+ e-mail  <email>\n          Write to <email> or to me." in changed
    assert "ann@example.org" not in changed


GONE = [
    ("stub.txt", "clean removed by too short", "No."),
    ("french.txt", "filter removed by language (fr, and only en is asked for)", "Il était une fois une petite fille."),
    ("copy.txt", f"dedup duplicate, exact_document (the words of {IDS['moby.txt']} (books/moby.txt))", "Call me Ishmael, said the man"),
    ("exam.txt", "decontaminate removed by contaminated", "What is the capital"),
]


@pytest.mark.parametrize(("name", "fate", "text"), GONE)
def test_a_document_that_was_removed_says_where_and_why_and_shows_its_text(told: EditedCorpus, name: str, fate: str, text: str) -> None:
    found = shown(told, name)
    assert fate in [" ".join(line.split()) for line in found.splitlines()]
    assert text in found.partition("its text as it reached ")[2]


def test_a_quarantined_file_is_shown_with_its_reason(told: EditedCorpus) -> None:
    assert "quarantined by ingest: no text: it begins like a PNG image" in shown(told, "photo.txt")


def test_a_document_that_others_were_called_copies_of_names_them(told: EditedCorpus) -> None:
    assert f"kept in place of {IDS['copy.txt']} (books/copy.txt)" in shown(told, "moby.txt")


def test_json_has_both_texts_and_every_change(told: EditedCorpus) -> None:
    story = json.loads(shown(told, "alice.txt", as_json=True))
    assert story["before"] == ALICE and story["after"].startswith("Alice was tired — “very” tired.")
    assert [stage["stage"] for stage in story["stages"]] == ["ingest", "clean", "filter", "dedup", "decontaminate", "split"]
    assert [touch["rule"] for change in story["changes"] for touch in change["touches"]] == [
        "running heads", "quotes", "dashes", "running heads", "misread words"]  # fmt: skip


def test_unknown_names_are_refused_with_similar_ones(told: EditedCorpus) -> None:
    with pytest.raises(LookupError, match=r"No document that books read is called 'alice in wonderlnd'.* Similar names:\n.*alice.txt"):
        shown(told, "alice in wonderlnd")
    with pytest.raises(LookupError, match=r"The recipe 'boks' never ran in .*; did you mean books\? These did: books\."):
        shown(told, "alice.txt", recipe="boks")
    with pytest.raises(LookupError, match=r"No rule 'running head' removed anything .*did you mean running_heads\?.*dedup/paragraph \(1\)"):
        show_removed("running head", store=told.store.url)


def test_a_store_without_runs_says_so(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"has no runs yet.*folio run four_books"):
        corpus_stats("four_books", store=str(tmp_path / "store"))


def test_the_funnel_has_every_stage_and_each_rule_s_share(told: EditedCorpus) -> None:
    lines = [" ".join(line.split()) for line in corpus_stats("books", store=told.store.url).splitlines()]
    for line in (
        "ingest 10 1 9 balanced",
        "dedup 7 1 6 balanced",
        "ingest 595 0 0 0 595 balanced",
        "clean 595 3 45 -6 553 balanced",
        "dedup 510 54 94 0 362 balanced",
        "split 297 0 0 0 297 balanced",
        "clean cut running heads 1 2 43 -45",
        "filter changed e-mail 1 1 15 -8",
        "en 5 297",
        "txt 9 5 595 297",
        "no text 1 books/photo.txt",
        "books/moby.txt Moby Dick",
        "written by a machine: 1 document, 14.1 % of the characters",
    ):
        assert line in lines
    data = json.loads(corpus_stats(store=told.store.url, as_json=True))
    assert data["recipe"] == "books" and data["metrics"]["balanced"] == 1.0 and data["documents_kept"] == 5


def test_a_cluster_that_makes_a_split_larger_than_it_should_be_is_said_with_the_ways_out(tmp_path: Path) -> None:
    large = LargeCluster(split="test", cluster="ab12", documents=450, asked=89.5, found=452, total=895, mode="fractions")
    account = EditedCorpus(Store(str(tmp_path / "store"), tmp_path / "cache"), large=[large]).write()
    shown = corpus_stats(store=account.store.url)
    assert "test has 452 of 895 documents (50.5%), where split.test asks for 89.5 (10.0%): 450 near-duplicates of document ab12" in shown
    assert all(way in shown for way in ("Leave some of them out", "dedup.near.threshold", "raise split.test", "split.seed"))
    assert json.loads(corpus_stats(store=account.store.url, as_json=True))["large_clusters"] == [large.model_dump()]


def test_the_tables_of_removed_text_are_listed_with_sizes_and_paths(told: EditedCorpus) -> None:
    tables = json.loads(show_removed(store=told.store.url, as_json=True))
    assert [(table["stage"], table["rule"], table["rows"]) for table in tables] == [
        ("clean", "running_heads", 2), ("clean", "too_short", 1), ("filter", "language", 1), ("dedup", "exact_document", 1),
        ("dedup", "paragraph", 1), ("decontaminate", "contaminated", 1)]  # fmt: skip
    assert all(Path(file).is_file() for table in tables for file in table["files"])
    assert show_removed("books", store=told.store.url) == show_removed(store=told.store.url)


@pytest.mark.parametrize("rule", ["running heads", "running_heads", "clean/running_heads"])
def test_a_rule_s_table_opens_with_document_place_and_text(told: EditedCorpus, rule: str) -> None:
    text = show_removed(rule, store=told.store.url)
    assert f"{IDS['alice.txt']} books/alice.txt, place 4, 24 characters" in text and "ALICE IN WONDERLAND   12" in text
    assert "2 pieces, the first 1" in " ".join(show_removed(rule, limit=1, store=told.store.url).split())


def test_a_limit_without_a_rule_is_refused(told: EditedCorpus) -> None:
    for asked in ({"full": True, "limit": 3}, {"as_json": True, "limit": 3}, {"as_json": True, "full": True}):
        with pytest.raises(ValueError, match=r"leave --(limit|full) out"):
            show_document("alice.txt", store=told.store.url, **asked)
    with pytest.raises(ValueError, match="name the RULE"):
        show_removed(limit=3, store=told.store.url)


def test_stages_that_a_recipe_leaves_out_are_left_out(tmp_path: Path) -> None:
    short = EditedCorpus(Store(str(tmp_path / "store"), tmp_path / "cache"), without=("filter", "decontaminate")).write()
    assert "language" not in shown(short, "french.txt").partition("from:")[2].partition("\n")[0]
    assert "filter" not in shown(short, "french.txt") and "filter" not in corpus_stats(store=short.store.url).partition("rules")[0]
    assert json.loads(corpus_stats(store=short.store.url, as_json=True))["metrics"]["balanced"] == 1.0


def test_duplicates_are_explained_by_their_links_and_shared_passages(told: EditedCorpus) -> None:
    pytest.importorskip("data.dedup.explanation")
    text = explain_duplicates("copy.txt", "Moby Dick", store=told.store.url)
    names = [f"{IDS[name]} (books/{name})" for name in ("copy.txt", "moby.txt")]
    assert f"{names[0]} and {names[1]}: exact, Jaccard 1.000" in text
    assert "  1. Call me Ishmael, said the man who had come to the inn" in text
    assert json.loads(explain_duplicates("copy.txt", "Moby Dick", as_json=True, store=told.store.url))["links"][0]["rule"] == "exact"
    with pytest.raises(LookupError, match=IDS["alice.txt"]):
        explain_duplicates("alice.txt", "Moby Dick", store=told.store.url)


def test_a_control_character_of_a_text_never_reaches_the_terminal() -> None:
    assert printable("a\x1b[31mb\x07\x9b\u202ec\n\td") == "a␛[31mb␇<U+009B><U+202E>c\n\td"
    assert "\x1b" not in "".join(text for line in differing("a\x1bb", "a\x1bc") for text, _ in line)


def test_highlighting_keeps_every_letter_of_both_texts() -> None:
    for before, after in [("", "x"), ("abc", "abd"), ("same", "same"), ("a" * 2000, "b" * 1500), ("xaxbx", "xbxax"), ("aa", "a")]:
        old, new = differing(before, after)
        assert ("".join(text for text, _ in old), "".join(text for text, _ in new)) == (before, after)


def test_the_documents_of_these_tests_meet_every_outcome() -> None:
    assert {text.end[:2] for text in SHELF if text.end} == {
        ("clean", "removed"), ("filter", "removed"), ("dedup", "duplicate"), ("decontaminate", "removed")}  # fmt: skip

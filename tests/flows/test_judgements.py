"""Judgements through the corpus chapter: they are learned, the plan names them, a gate holds agreement, and a take-down removes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.documents.sharding import document_id, text_digest
from data.judgements.config import journal_files
from data.judgements.journal import append, file_of
from data.sources.config import JUDGED
from flows.cli.views.judgements import show_judgements, withdraw_judgements
from flows.cli.views.takedown import show_takedown
from flows.recipe.initialize import write_recipe
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from flows.recipe.validation import RecipeError
from flows.services.home import JUDGEMENTS, home
from tasks.gate import GateFailed
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store
from tests.data.dedup.books import prose
from tests.data.judgements.judging import judged, prefers
from tests.flows.test_corpus import make, planned

ALPHA = "gates.corpus.bounds=[{metric: judgements.preference_alpha, minimum: 0.5}]"
READ = "ingest.conversations[0]"
QUESTIONS = 12


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of books with a recipe, in a home of their own."""
    place = tmp_path_factory.mktemp("judged")
    folder = place / "books"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:03}.txt").write_text(prose(number, paragraphs=4))
    write_recipe(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLIO_HOME", str(place / "home"))
        yield folder


@pytest.fixture
def folder(books: Path) -> Path:
    """The home's journal: what two judges who agree said of pairs, one of them more."""
    folder = home() / JUDGEMENTS
    shutil.rmtree(folder, ignore_errors=True)
    for number in range(QUESTIONS):
        for judge in ("ada", "bob"):
            better, other = ("red", "blue") if number % 2 else ("blue", "red")
            texts = (f"Kiln {number} is {better}.", f"Kiln {number} is {other}.")
            append(folder, judged("preference", f"What colour is kiln {number}?", texts, judge=judge, preferred="A"))
    append(folder, judged("label", "Who keeps it?", ("Nobody keeps it at all.",), good=False))
    append(folder, judged("ideal", "Who feeds it?", ideal="The sexton feeds it at dawn."))
    return folder


def recipe_of(books: Path, *changes: str) -> Recipe:
    """The recipe, learning from judgements."""
    source = (
        "examples={kind: conversations, sources: [{kind: judgements, name: people}], validation_fraction: 0.2, generated: {kind: corpus}}"
    )
    return load(str(books), (source, "ingest.shards=1", "tracking=none", *changes))


def folder_of(artifact: Artifact) -> Path:
    """The files of an artifact."""
    return Store(str(home() / "store"), home() / "cache").local(artifact)


def test_what_was_judged_is_read_and_the_plan_names_the_journal_when_lines_were_added(prefect: None, books: Path, folder: Path) -> None:
    recipe = recipe_of(books, ALPHA)
    artifacts = make(recipe)
    assert artifacts["judgements"].metrics["preference_alpha"] == 1
    read = pq.read_table(folder_of(artifacts[READ]) / "documents.parquet").to_pylist()
    assert len(read) == QUESTIONS + 2 and {row["source"] for row in read} == {"people"}
    made = artifacts["examples"].metrics
    assert [made[f"{kind}_train_read"] + made[f"{kind}_val_read"] for kind in ("preferences", "labels", "instructions")] == [
        QUESTIONS,
        1,
        1,
    ]
    assert {decision.action for decision in planned(recipe).values()} == {"reuse"}

    # One more voice for what is decided already: it is read, and changes nothing that is learned.
    texts = ("Kiln 1 is red.", "Kiln 1 is blue.")
    append(folder, judged("preference", "What colour is kiln 1?", texts, judge="cyd", preferred="A"))
    plan = planned(recipe)
    assert plan["judgements"].causes == (f"file people/{file_of('cyd')} was added",)
    again = make(recipe)
    assert again["judgements"].address != artifacts["judgements"].address and again[READ].address == artifacts[READ].address

    append(folder, judged("preference", "What colour is the door?", ("The door is green.", "The door is grey."), preferred="B"))
    assert planned(recipe)["judgements"].causes == (f"file people/{file_of('ada')} changed",)
    assert make(recipe)[READ].metrics["documents"] == QUESTIONS + 3


def test_a_gate_stops_the_run_where_judges_do_not_agree_or_nobody_could_tell(prefect: None, books: Path, folder: Path) -> None:
    for number in range(QUESTIONS):  # who always takes what stands first in the alphabet
        texts = (f"Kiln {number} is blue.", f"Kiln {number} is red.")
        append(folder, judged("preference", f"What colour is kiln {number}?", texts, judge="careless", preferred="A"))
    with pytest.raises(GateFailed, match=r"judgements\.preference_alpha"):
        make(recipe_of(books, ALPHA))
    for path in journal_files(folder):
        if path.name != file_of("ada"):
            path.unlink()
    with pytest.raises(GateFailed, match="was not measured"):
        make(recipe_of(books, ALPHA))


def test_a_bound_on_agreement_needs_judgements(books: Path) -> None:
    with pytest.raises(RecipeError, match=r"judgements\.preference_alpha"):
        load(str(books), (ALPHA,))


def test_a_take_down_names_what_holds_an_example_and_without_it_nothing_does(prefect: None, books: Path, folder: Path) -> None:
    artifacts = make(recipe_of(books))
    (example,) = [row for row in lines(artifacts["judgements"], JUDGED) if "sexton" in json.dumps(row)]
    identity = document_id("people", f"{JUDGED}#{example['id']}")
    account = json.loads(show_takedown(identity, search=False, as_json=True))
    held = {position for position, artifact in artifacts.items() if artifact.location in json.dumps(account["contains"])}
    assert {"judgements", READ, "dedup.conversations", "split.conversations[0]", "examples"} <= held
    assert "ledger.jsonl" in json.dumps(account)
    after = make(recipe_of(books, f"ingest.without={json.dumps(account['ingest_without'])}"))
    assert not any("sexton" in json.dumps(row) for row in lines(after["judgements"], JUDGED))
    assert after[READ].metrics["documents"] == artifacts[READ].metrics["documents"] - 1


def test_a_judge_and_an_answer_are_taken_down_by_their_digests(prefect: None, books: Path, folder: Path) -> None:
    never = json.dumps([text_digest("bob"), text_digest("Nobody keeps it at all.")])
    metrics = make(recipe_of(books, f"ingest.without={never}"))["judgements"].metrics
    assert (metrics["judges"], metrics["without"], metrics["labels"]) == (1, QUESTIONS + 1, 0)


def test_a_withdrawal_says_what_goes_and_the_next_run_learns_without_it(prefect: None, books: Path, folder: Path) -> None:
    append(folder, prefers("red", "Only cyd saw this?", "cyd"))
    before = make(recipe_of(books))
    told = withdraw_judgements(folder, "judge:cyd", "cyd", "not mine to give")
    assert "1 judgement no longer counts; 1 example will go." in told and "takedown" in told
    after = make(recipe_of(books))
    assert after[READ].metrics["documents"] == before[READ].metrics["documents"] - 1
    with pytest.raises(LookupError, match="no judgement that still counts"):
        withdraw_judgements(folder, "judge:cyd", "cyd", "again")


def test_the_command_shows_counts_agreement_and_ratings_within_80_columns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = show_judgements(folder)
    assert max(len(line) for line in shown.splitlines()[1:]) <= 80
    for words in ("12 preference pairs", "the better answer", "1.00", "small", "large", "ada", "bob"):
        assert words in shown
    plain = json.loads(show_judgements(folder, as_json=True))
    assert plain["counts"]["used"] == 2 * QUESTIONS + 2 and plain["agreement"]["preference"]["value"] == 1
    with pytest.raises(FileNotFoundError, match="has no judgements"):
        show_judgements(folder / "nowhere")


def lines(artifact: Artifact, name: str) -> list[dict[str, object]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in (folder_of(artifact) / name).read_text(encoding="utf-8").splitlines()]


def test_an_answer_is_withdrawn_by_its_text_and_what_names_nothing_is_refused(folder: Path) -> None:
    told = withdraw_judgements(folder, "answer:Nobody keeps it at all.", "ada", "about a person")
    assert text_digest("Nobody keeps it at all.") in told and json.loads(show_judgements(folder, as_json=True))["counts"]["labels"] == 0
    with pytest.raises(ValueError, match="give the id of a judgement"):
        withdraw_judgements(folder, "ada", "ada", "no such id")
    with pytest.raises(ValueError, match="--reason"):
        withdraw_judgements(folder, "judge:ada", "ada", "")

"""A plan's times come from what the store says of earlier executions, whatever recipe they were for, scaled by how much there is to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import flows.pipeline  # noqa: F401  # the stages with what they say of their work
from flows.recipe.loading import load
from flows.recipe.schema import Recipe
from tasks.forecast.counts import training_operations
from tasks.forecast.execution import Execution, History, Source
from tasks.forecast.forecast import Forecast, Forecaster, total
from tasks.forecast.rates import Load, Range
from tasks.forecast.work import consulted_operations, evaluated_operations, trained_operations
from tasks.stage.execution.plan import Decision
from tasks.stage.identity.key import stable
from tasks.stage.store.artifact import Artifact, PendingArtifact
from tasks.stage.store.store import Store
from tests.tasks.records import committed

RECIPE = ("pretrain.steps=1000",)
IDLE = Load(0.0, 0.0, 2)


def recipe(*changes: str) -> Recipe:
    """four_books with more steps, so that training takes much longer than its start."""
    return load("four_books", (*RECIPE, *changes))


def plain(config: Any) -> dict[str, Any]:
    """A config as records hold it."""
    found = stable(config, "")
    assert isinstance(found, dict)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path / "store"), tmp_path / "cache")


def trained_before(store: Store, seconds: float = 100.0, *, label: str = "four_books", name: str = "one") -> Artifact:
    """The record of a pretraining with both cores for itself."""
    model = {"model.safetensors": b"0" * 4000}
    return committed(store, model, stage="pretrain", label=label, name=name, seconds=seconds, config=plain(recipe().pretraining))


def pretraining(store: Store, *changes: str) -> Forecast:
    """The forecast of a pretraining whose rows are only planned."""
    waits = {"shards": PendingArtifact(position="pack")}
    decision = Decision("pretrain", "pretrain", "run", (), config=recipe(*changes).pretraining, inputs=waits)
    (found,) = Forecaster(History(store), Path(), 2, IDLE).forecasts([decision])
    return found


def likely(found: Forecast) -> float:
    """The likeliest seconds."""
    assert found.seconds is not None
    return found.seconds.likely


def test_training_twice_as_long_is_expected_to_take_twice_the_time_and_says_what_that_rests_on(store: Store) -> None:
    trained_before(store)
    same, twice = pretraining(store), pretraining(store, "pretrain.steps=2000")
    assert likely(same) == pytest.approx(100.0, rel=0.15)
    assert likely(twice) == pytest.approx(2 * likely(same), rel=0.1)
    assert "like four_books of " in same.basis
    assert "2x the operations" in twice.basis
    assert "x the operations" not in same.basis


def test_a_larger_network_is_expected_to_take_as_much_longer_as_it_has_operations(store: Store) -> None:
    trained_before(store)
    wide = ("model.width=128", "model.feed_forward=384")
    config = recipe(*wide)
    more = training_operations(config.model, 4096) / training_operations(recipe().model, 4096)
    assert more > 3
    longer = likely(pretraining(store, *wide)) / likely(pretraining(store))
    # A small network spends most of its time between operations, so the ratio is below that of the operations.
    assert 1 < longer < more


def test_another_recipes_run_tells_as_well(store: Store) -> None:
    trained_before(store, label="other")
    assert "like other of " in pretraining(store).basis


def test_another_kind_of_training_tells_nothing_and_the_machines_speed_is_measured_instead(store: Store) -> None:
    trained_before(store)
    found = pretraining(store, "pretrain.precision=bf16")
    assert found.basis.startswith("not measured here: ")
    assert found.seconds is not None
    assert found.seconds.high >= 4 * found.seconds.low


def test_a_stage_that_nothing_compares_with_has_no_estimate(store: Store) -> None:
    decision = Decision("clean", "clean", "run", (), config=recipe().clean)
    (found,) = Forecaster(History(store), Path(), 2, IDLE).forecasts([decision])
    assert (found.seconds, found.size, found.basis) == (None, None, "it has never run")


def test_what_a_stage_is_expected_to_write_is_the_next_ones_input(store: Store) -> None:
    small = committed(store, {"documents.parquet": b"0" * 1000}, stage="ingest", name="small", metrics={"bytes": 1000.0})
    reads = {"documents": small.reference()}
    committed(store, {"documents.parquet": b"0" * 500}, stage="clean", name="small", inputs=reads, seconds=10.0)
    large = committed(store, {"documents.parquet": b"0" * 8000}, stage="ingest", name="large", metrics={"bytes": 8000.0})
    decisions = [
        Decision("clean", "clean", "run", (), config=recipe().clean, inputs={"documents": large}),
        Decision("dedup", "dedup", "run", (), config=recipe().dedup, inputs={"documents": PendingArtifact(position="clean")}),
    ]
    cleaned, deduplicated = Forecaster(History(store), Path(), 2, IDLE).forecasts(decisions)
    assert cleaned.size == pytest.approx(4000)
    assert likely(cleaned) > 50
    assert deduplicated.seconds is None


def test_an_evaluation_takes_longer_with_more_rows_and_with_questions() -> None:
    def work(**changes: Any) -> float:
        config: Mapping[str, Any] = plain(recipe().evaluate.base) | changes
        packed = Execution("pack", {}, files={f"{split}/00000.arrow": 1e6 for split in ("train", "val", "test")})
        model = Execution("pretrain", plain(recipe().pretraining))
        examples = Execution("examples", {}, files={"questions_seen.jsonl": 9000.0})
        found = evaluated_operations(
            Execution("evaluate", config, {"model": Source(model), "packed": Source(packed), "examples": Source(examples)})
        )
        assert found is not None
        return found

    assert work(rows=512, samples=0) == pytest.approx(2 * work(rows=256, samples=0), rel=0.01)
    assert work(questions=True) > work(questions=False)


def test_asking_with_documents_takes_longer_of_a_larger_model_with_more_passages_or_questions() -> None:
    def work(model: float = 5e8, questions: float = 60_000.0, **settings: Any) -> float:
        given = {
            "model": Source(Execution("tune", {}, files={"model.safetensors": model})),
            "questions": Source(Execution("examples", {}, files={"q.jsonl": questions}), "q.jsonl"),
            "index[0]": Source(Execution("index", {"passage_characters": 320})),
        }
        found = consulted_operations(Execution("consult", {"settings": {"passages": 2, "answer_tokens": 24, **settings}}, given))
        assert found is not None
        return found

    assert work(model=1e9) == pytest.approx(2 * work()) and work(questions=30_000.0) == pytest.approx(work() / 2)
    assert work(passages=4) > work() and work(declined=True) > work()
    assert 1e12 < work() < 1e14  # about a hundred questions of 300 tokens, to 125 million parameters


def test_preference_pairs_and_validation_take_operations_too() -> None:
    def work(kind: str, **settings: Any) -> float:
        (step,) = load("four_books", (f"tuning=[{{kind: {kind}, steps: 100, global_batch: 8, eval_rows: 64}}]",)).tuning
        config = plain(recipe().tuning_by(step.model_copy(update=settings)))
        found = trained_operations(Execution("tune", config, {"model": Source(Execution("pretrain", plain(recipe().pretraining)))}))
        assert found is not None
        return found

    assert 1.5 * work("sft") < work("dpo") < 3 * work("sft")
    assert work("sft", eval_every=10) > work("sft")


def test_errors_of_estimates_that_have_nothing_in_common_do_not_add_up() -> None:
    whole = total([Range(5.0, 10.0, 20.0)] * 4)
    assert whole.likely == 40.0
    assert whole == Range(30.0, 40.0, 60.0)
    assert total([Range(5.0, 10.0, 20.0)] * 4, together=True) == Range(20.0, 40.0, 80.0)

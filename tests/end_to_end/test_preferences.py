"""Every kind of preferences as a step of one recipe: pairs of the model's own and of the examples, labelled answers, a cached reference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.services.home import home
from tests.end_to_end.conftest import FinishedRun, run_at_home

RECIPE = str(Path(__file__).with_name("preferences.yaml"))
KINDS = ("dpo", "kto", "orpo", "simpo")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def preferences(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    """The recipe's run, in a home of its own."""
    with run_at_home(RECIPE, tmp_path_factory.mktemp("preferences")) as finished:
        yield finished


def test_each_step_tells_held_out_answers_apart_better_than_chance(preferences: FinishedRun) -> None:
    for kind in KINDS:
        metrics = preferences.artifacts[f"tune.{kind}"].metrics
        print(f"{kind}: accuracy {metrics['val_accuracy']:.2f} of held-out answers, chosen {metrics['val_chosen_logp']:.1f} nats")
        assert metrics["val_accuracy"] > 0.6, kind


def test_labelled_answers_come_from_the_examples_and_pairs_from_the_model(preferences: FinishedRun) -> None:
    assert {"pair.dpo", "pair.orpo"} <= preferences.artifacts.keys() and "pair.kto" not in preferences.artifacts
    encoded = preferences.artifacts["encode"].metrics
    assert encoded["labels_train_rows"] == 2 * encoded["preference_train_rows"]
    assert preferences.artifacts["tune.kto"].metrics["epochs"] == pytest.approx(0.75 * 12 * 16 / encoded["labels_train_rows"], rel=1e-2)


def test_the_report_draws_margins_accuracy_and_divergence(preferences: FinishedRun) -> None:
    page = (home() / "reports" / "preferences.html").read_text(encoding="utf-8")
    assert "Preference tuning (kto): answers told apart rightly" in page or "Preference tuning: answers told apart rightly" in page
    assert "divergence from the model before" in page and "margin of chosen over rejected" in page

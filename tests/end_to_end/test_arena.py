"""An arena on a probe, for real: what is trained, measured and shown of each network, and what another network reruns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli.planning import plan_recipe
from flows.cli.run import summary
from tests.end_to_end.conftest import FinishedRun, run_at_home

pytestmark = pytest.mark.slow
RECIPE = str(Path(__file__).with_name("arena.yaml"))
NETWORKS = ("attention", "gru", "ngram")


@pytest.fixture(scope="module")
def arena(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FinishedRun]:
    with run_at_home(RECIPE, tmp_path_factory.mktemp("arena")) as finished:
        yield finished


def test_each_network_is_measured_on_the_same_held_out_questions(arena: FinishedRun) -> None:
    for name in NETWORKS:
        metrics = arena.artifacts[f"appraise.{name}.0"].metrics
        assert metrics["questions.heldout_count"] == arena.artifacts["examples"].metrics["questions_heldout"]
        assert metrics["questions.heldout_unasked"] == 0 and metrics["val.bits_per_byte"] < 8
    assert arena.artifacts["baseline"].metrics["chance.questions.heldout"] > 0.2


def test_attention_keeps_more_of_a_longer_text_and_a_fixed_state_as_much(arena: FinishedRun) -> None:
    kept = {name: [arena.artifacts[f"appraise.{name}.0"].metrics[f"state_bytes.{length}"] for length in (32, 256)] for name in NETWORKS}
    assert kept["attention"][1] == 8 * kept["attention"][0] and kept["gru"][0] == kept["gru"][1] and kept["ngram"][0] == kept["ngram"][1]


def test_the_terminal_shows_the_table(arena: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = summary(arena.recipe, arena.artifacts, 1.0)
    shown = said[said.index("The arena") :]
    assert all(name in shown for name in (*NETWORKS, "chance", "Not here")) and "counted" in shown


def test_another_network_reruns_no_other(arena: FinishedRun) -> None:
    more = "{name: more, model: {kind: recurrent, width: 32, layers: 1}}"
    given = Path(RECIPE).read_text(encoding="utf-8").partition("entrants:\n")[2]
    listed = ", ".join(line.strip().removeprefix("- ") for line in given.splitlines())
    plan = plan_recipe(RECIPE, (f"arena.entrants=[{listed}, {more}]",), frozenset(), False).decisions
    assert [decision.position for decision in plan if decision.action != "reuse"] == ["compete.more.0", "appraise.more.0"]

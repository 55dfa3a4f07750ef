"""On a finished run of `universe`: an edit of what training did not use leaves nothing to do, one of what it used names itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.identity import bench
from tests.identity.changing import Edit
from tests.identity.conftest import fresh_processes
from tests.identity.training_edits import CONSTANTS, EDITS, UNUSED, USED, TrainingEdit

Plans = Callable[[TrainingEdit], dict[str, tuple[str, tuple[str, ...]]]]
RECIPE = bench.ROOT / "flows" / "recipe" / "universe.yaml"


@pytest.fixture(scope="module")
def plans(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plans]:
    """What a plan says after an edit; all are under way from the beginning."""
    from prefect.settings import PREFECT_API_URL

    url, folder = str(PREFECT_API_URL.value()), tmp_path_factory.mktemp("training")
    with fresh_processes() as pool:
        base = folder / "base"
        built = pool.submit(bench.build, base, url, RECIPE).result()
        assert not built.failed, built.failed
        assert set(built.after.values()) == {"reuse"}
        planned = {
            edit.name: pool.submit(
                bench.copy_and_plan_change, base, folder / str(number), url, Edit(f"rooms/{edit.path}", edit.before, edit.after)
            )
            for number, edit in enumerate(EDITS)
        }
        yield lambda edit: planned[edit.name].result()


@pytest.mark.slow
@pytest.mark.parametrize("edit", UNUSED, ids=lambda edit: edit.name)
def test_an_edit_of_what_training_did_not_use_leaves_nothing_to_do(edit: TrainingEdit, plans: Plans) -> None:
    assert {position: why for position, (action, why) in plans(edit).items() if action != "reuse"} == {}


@pytest.mark.slow
@pytest.mark.parametrize("edit", [*USED, *CONSTANTS], ids=lambda edit: edit.name)
def test_an_edit_of_what_a_stage_used_runs_it_again_and_is_named(edit: TrainingEdit, plans: Plans) -> None:
    action, causes = plans(edit)[edit.runs]
    assert action == "run"
    assert edit.path in "; ".join(causes)


def test_there_are_enough_edits_of_either_kind_and_each_is_of_text_that_is_there() -> None:
    assert len(UNUSED) >= 20 and len(USED) >= 12
    for edit in EDITS:
        assert (bench.ROOT / edit.path).read_text(encoding="utf-8").count(edit.before) == 1, edit.name

"""On a finished run with steps of several kinds: an edit of what one step alone uses runs that step and what follows, nothing before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.identity import bench
from tests.identity.changing import Edit
from tests.identity.conftest import fresh_processes

Plans = Callable[[Edit], dict[str, tuple[str, tuple[str, ...]]]]
SMALL = {"steps": 2, "global_batch": 2, "warmup_steps": 0}
ROLLOUTS = {"prompts": 2, "group": 2, "max_new_tokens": 4, "rewards": [{"kind": "answer"}, {"kind": "concise", "weight": 0.2}]}
TUNING: list[dict[str, Any]] = [
    {"kind": "sft", **SMALL, "eval_rows": 2},
    {"kind": "orpo", **SMALL, "eval_rows": 2, "pairs": {"kind": "examples"}},
    {"kind": "sft", "name": "adapted", **SMALL, "eval_rows": 2, "adapter": {"kind": "lora", "rank": 2}},
    {"kind": "grpo", "steps": 1, "global_batch": 4, "warmup_steps": 0, "rollouts": ROLLOUTS},
]
EDITS = {
    "an objective": ("tune.orpo", Edit("rooms/model/objectives/reference_free.py", "near = x > -math.log(2)", "near = x > -math.log(3)")),
    "an adapter": (
        "tune.adapted",
        Edit("rooms/model/adapters/lora.py", "(self.config.alpha / self.config.rank)", "(self.config.rank / self.config.alpha)"),
    ),
    "an objective of rewards": (
        "tune.grpo",
        Edit("rooms/model/objectives/grpo.py", "clamp(1 - self.clip_low, 1 + self.clip_high)", "clamp(1 - self.clip_high, 1 + self.clip_low)"),
    ),
    "a reward": ("tune.grpo", Edit("rooms/model/rewards/kinds.py", "first_sentence(text) == text", "text == first_sentence(text)")),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plans(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plans]:
    """What a plan says after an edit."""
    from prefect.settings import PREFECT_API_URL

    url, folder = str(PREFECT_API_URL.value()), tmp_path_factory.mktemp("steps")
    recipe = yaml.safe_load(Path(__file__).with_name("recipe.yaml").read_text(encoding="utf-8"))
    recipe = {name: section for name, section in recipe.items() if name not in ("sft", "dpo")} | {"tuning": TUNING}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    base = folder / "base"
    with fresh_processes() as pool:
        built = pool.submit(bench.build, base, url, folder / "recipe.yaml").result()
        assert not built.failed, built.failed
        yield lambda edit: pool.submit(bench.copy_and_plan_change, base, folder / edit.path.replace("/", "."), url, edit).result()


@pytest.mark.parametrize("edited", EDITS)
def test_an_edit_of_what_a_step_alone_uses_runs_it_and_nothing_before(edited: str, plans: Plans) -> None:
    step, edit = EDITS[edited]
    planned = plans(edit)
    positions = list(planned)
    action, causes = planned[step]
    assert action == "run" and edit.path.removeprefix("rooms/") in "; ".join(causes)
    before = positions[: positions.index(step)]
    assert {position for position in before if planned[position][0] != "reuse"} == set()
    assert {planned[position][0] for position in positions[positions.index(step) + 1 :]} & {"wait", "run"}, (
        "what follows is looked at again"
    )

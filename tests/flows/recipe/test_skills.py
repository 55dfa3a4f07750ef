"""Skills in a recipe: they are measured and judged only where the examples test them."""

from __future__ import annotations

import pytest

from flows.recipe.loading import load
from flows.recipe.validation import RecipeError

SKILLS = ("examples.kind=universe", "examples.skills=[format]")


def test_skills_are_measured_and_judged_only_where_examples_test_them() -> None:
    bounds = "gates.chat.bounds=[{metric: chat.skills.format.gain, minimum: 0, certain: true}]"
    assert load("universe", (*SKILLS, "evaluate.chat.skills=true", bounds)).gates.chat.bounds[0].metric == "chat.skills.format.gain"
    for changes, message in (
        (
            ("evaluate.chat.skills=true",),
            "evaluate.chat.skills=true, and the examples (kind=universe) test none; list some in examples.skills",
        ),
        ((*SKILLS, bounds), "names 'chat.skills.format.gain', which takes evaluate.chat.skills=true; set that, or drop the bound"),
        ((*SKILLS, "evaluate.chat.skill_tokens=9"), "evaluate.chat.skill_tokens=9 does nothing while evaluate.chat.skills=false"),
    ):
        with pytest.raises(RecipeError) as error:
            load("universe", changes)
        assert message in str(error.value)

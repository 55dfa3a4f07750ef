"""The section `adapters`: where its entries stand in the flow, and what can't be combined with an adapter that does not merge."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.recipe.loading import load
from flows.recipe.validation import RecipeError
from tests.flows.recipe.test_tuning import planned

PROMPT = "{kind: sft, name: soft, adapter: {kind: prompt}}"
LORA = "{kind: sft, name: low, adapter: {kind: lora}}"


def test_each_starts_from_the_tuned_model_is_measured_and_is_part_of_the_release(tmp_path: Path) -> None:
    plan = planned((f"adapters=[{PROMPT}, {LORA}, {{kind: sft, name: whole}}]",), tmp_path)
    assert [position for position in plan if plan[position].stage == "adapt"] == ["adapt.soft", "adapt.low", "adapt.whole"]
    for name in ("soft", "low", "whole"):
        assert plan[f"adapt.{name}"].causes[-1] == "waits on tune.dpo, encode"
        assert f"waits on adapt.{name}" in plan[f"evaluate.{name}"].causes[-1]
    waits = plan["export"].causes[-1]
    assert "adapt.soft, adapt.low" in waits and "adapt.whole" not in waits


def test_without_any_nothing_of_the_flow_changes(tmp_path: Path) -> None:
    plain, empty = planned((), tmp_path / "a"), planned(("adapters=[]",), tmp_path / "b")
    assert {name: decision.ingredients for name, decision in plain.items()} == {n: d.ingredients for n, d in empty.items()}


WRONG = [
    ((f"adapters=[{PROMPT}, {PROMPT}]",), "adapters has 2 called 'soft'; give each a name of its own"),
    (("adapters=[{kind: sft, name: int8}]",), "adapters and release.variants have one called 'int8' each"),
    ((f"tuning=[{PROMPT}, {{kind: dpo}}]", f"adapters=[{PROMPT}]"), "tuning and adapters have one called 'soft' each"),
    (("adapters=[{kind: sft, name: low, adapter: {kind: lora, length: 3}}]",), "adapters.0.sft.adapter.length: unknown key"),
    (
        (f"tuning=[{PROMPT}, {{kind: dpo}}]",),
        "tuning[0].adapter.kind=prompt does not merge into the weights, so no other training can start",
    ),
    ((f"tuning=[{PROMPT}]",), "tuning[0].adapter.kind=prompt does not merge into the weights, so a model of rounded weights can't have it"),
    ((f"tuning=[{PROMPT}]", f"adapters=[{LORA}]"), "so adapters can't start from its model; make it an entry of adapters too"),
    ((f"tuning=[{PROMPT}]", "release.variants=[]"), "so transformers can't open the release: set export.format: folio, or use"),
    (
        ("adapters=[{kind: sft, name: low, adapter: {kind: qlora, base: fp2}}]",),
        "adapters.0.sft.adapter.base: there is no 'fp2' here; choose one of nf4, int4",
    ),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_what_cannot_be_is_refused_by_name(changes: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("universe", changes)
    assert message in str(error.value)


def test_a_last_step_that_does_not_merge_is_released_as_it_is() -> None:
    bounds = "gates.release.bounds=[{metric: release.test.bits_per_byte, beats: baseline.ngram}]"
    recipe = load("universe", (f"tuning=[{PROMPT}]", "release.variants=[]", "export.format=folio", bounds))
    assert recipe.tuning[-1].adapter.kind == "prompt"

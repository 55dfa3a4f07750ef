"""Every kind of network answers for the layouts that it can have; what it can't is refused with key, value and the way out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.networks.base import Layout, NetworkBase
from model.networks.config import KINDS, NgramConfig

ALONE = Layout(workers=1, tensor=1, pipeline=1, micro_batch=0, global_batch=8, batch_warmup_steps=0, recompute="none", spread="parallel.")
TRAINED = {name: kind for name, kind in KINDS.items() if "gradients" in kind.SUPPORTS}
ASKED = {
    "tensor": (replace(ALONE, workers=2, tensor=2), "parallel.tensor=2: its matrices can't be cut; use tensor=1"),
    "pipeline": (replace(ALONE, workers=2, pipeline=2), "parallel.pipeline=2: it can't be divided into stages; use pipeline=1"),
    "recompute": (replace(ALONE, recompute="blocks"), "recompute=blocks is not offered; set recompute=none"),
}


@pytest.mark.parametrize("ability", ASKED)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_layout_is_admitted_exactly_where_the_kind_supports_it(kind: type[NetworkBase], ability: str) -> None:
    layout, sentence = ASKED[ability]
    shape = kind()  # type: ignore[call-arg]
    assert not list(shape.layout_problems(ALONE))
    problems = list(shape.layout_problems(layout))
    assert problems == ([] if ability in kind.SUPPORTS else [f"kind={shape.kind} with {sentence}"])


def test_counting_is_one_pass_of_one_process() -> None:
    for layout, key in ((replace(ALONE, workers=2), "workers=2"), (replace(ALONE, zero_stage=1), "zero_stage=1")):
        (problem,) = NgramConfig().layout_problems(layout)
        assert problem.startswith(f"parallel.{key} with kind=ngram, which is counted by one process")


@pytest.mark.parametrize("kind", TRAINED.values(), ids=TRAINED.keys())
def test_a_network_that_supports_a_layout_has_what_the_trainer_asks_it_for(kind: type[NetworkBase]) -> None:
    network = kind(layers=2).build(50)  # type: ignore[call-arg]
    plan = network.cut_plan()
    cut = {name for name, role in network.roles().items() if plan.along(name) is not None and role == "matrix"}
    if "tensor" in kind.SUPPORTS:
        assert cut == {name for name, role in network.roles().items() if role == "matrix"}
    else:
        assert not cut
        with pytest.raises(NotImplementedError, match="use tensor=1"):
            network.divide_heads(2)
    if "pipeline" in kind.SUPPORTS:
        assert network.stage_parts().table is not None
    else:
        with pytest.raises(NotImplementedError, match="use pipeline=1"):
            network.stage_parts()

"""Every objective with every network: the pair learns the same however its batches are divided, or is refused with the true reason."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from model.networks.config import KINDS, NetworkConfig, NgramConfig
from model.training.config import PretrainStep
from model.training.job import Job
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import CONTEXT, SHAPE, JobMaker
from tests.model.training.alone import train_here
from tests.model.training.test_networks import BOTH, ENCODER, EXPERTS, HYBRID, PROMPTED, RECURRENT

NETWORKS: dict[str, NetworkConfig] = {
    "decoder": SHAPE,
    "decoder with heads ahead": SHAPE.model_copy(update={"multi_token": 1}),
    "decoder with experts": EXPERTS,
    "decoder with prompts": PROMPTED,
    "hybrid": HYBRID,
    "recurrent": RECURRENT,
    "encoder": ENCODER,
    "encoder_decoder": BOTH,
    "ngram": NgramConfig(context=CONTEXT),
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "next_token": {},
    "prefix": {},
    "masked": {"share": 0.4},
    "spans": {"density": 0.4},
    "denoisers": {"marks": True},
    "contrastive": {"least_tokens": 2, "temperature": 0.2},
}
CAUSAL = ("decoder", "decoder with heads ahead", "decoder with experts", "hybrid", "recurrent")
LEARNS = {
    "next_token": CAUSAL,
    "prefix": ("decoder with prompts",),
    "masked": ("encoder",),
    "spans": ("encoder_decoder",),
    "denoisers": ("encoder_decoder",),
    "contrastive": (*CAUSAL, "encoder"),
}
UNTAUGHT = r"prompt=bidirectional: its rows do not say what is a prompt"
COUNTS, WRITES, SEES = "supports gradients, and", "supports infilling, and", "supports bidirectional, and"
# Of each other pair the reason; the kinds of networks that one says of are those that lack what it names.
REASONS: dict[str, dict[str, str]] = {
    "next_token": {"decoder with prompts": UNTAUGHT, "encoder": "supports causal, and", "encoder_decoder": "supports causal, and"},
    "prefix": {
        **dict.fromkeys(
            ("decoder", "decoder with heads ahead", "decoder with experts"), "reads prompts causally: set prompt=bidirectional"
        ),
        **dict.fromkeys(("hybrid", "recurrent"), "reads prompts causally: choose kind=decoder"),
        **dict.fromkeys(("encoder", "encoder_decoder"), "supports causal, and"),
    },
    "masked": dict.fromkeys((*CAUSAL, "decoder with prompts", "encoder_decoder"), SEES),
    "spans": dict.fromkeys((*CAUSAL, "decoder with prompts", "encoder"), WRITES),
    "denoisers": dict.fromkeys((*CAUSAL, "decoder with prompts", "encoder"), WRITES),
    "contrastive": {"decoder with prompts": UNTAUGHT, "encoder_decoder": "it reads texts with gaps alone; choose kind=encoder"},
}


def job_of(job: Job, objective: str, network: str) -> Job:
    """The job of a pair; what its validation refuses raises."""
    kept = ("optimizer", "learning_rate", "precision", "steps", "tokens", "global_batch", "warmup_steps", "eval_rows")
    fields = {name: value for name, value in job.train.model_dump().items() if name in kept}
    train = TypeAdapter(PretrainStep).validate_python({"kind": objective, **fields, **OBJECTIVES[objective]})
    return Job.model_validate({**dict(job), "network": NETWORKS[network], "train": train})


def test_the_grid_has_every_objective_and_every_kind_of_network_and_says_something_of_each_pair() -> None:
    kinds = {member.model_fields["kind"].default for member in PretrainStep.__origin__.__args__}  # type: ignore[attr-defined]
    assert set(OBJECTIVES) == set(LEARNS) == set(REASONS) == kinds
    assert {network.kind for network in NETWORKS.values()} == set(KINDS)
    for objective in OBJECTIVES:
        assert {*LEARNS[objective], *REASONS[objective], "ngram"} == set(NETWORKS)
        assert not set(LEARNS[objective]) & set(REASONS[objective])


@pytest.mark.parametrize(("objective", "network"), [(objective, network) for objective in LEARNS for network in LEARNS[objective]])
def test_a_pair_learns_and_the_same_however_its_batches_are_divided(make_job: JobMaker, objective: str, network: str) -> None:
    curves = []
    for size in (8, 2):
        job = job_of(make_job(f"parts of {size}", {"micro_batch": size}, steps=14), objective, network)
        train_here(job)
        lines = read_lines(job.output / "history.jsonl")
        curves.append([[line[name] for line in lines if name in line] for name in ("loss", "grad_norm", "val_loss")])
    (losses, *_), _ = curves
    assert min(losses[-3:]) < losses[0] - 0.05, "nothing was learned, so equal curves would prove nothing"
    for whole, divided in zip(*curves, strict=True):
        assert divided == pytest.approx(whole, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("objective", "network", "reason"),
    [(objective, network, reason) for objective, refused in REASONS.items() for network, reason in [*refused.items(), ("ngram", COUNTS)]],
)
def test_any_other_pair_is_refused_with_the_reason(make_job: JobMaker, objective: str, network: str, reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        job_of(make_job(), objective, network)
    said = str(refused.value)
    assert f"kind={objective}" in said and reason in said, said
    assert f"kind={NETWORKS[network].kind}" in said or reason == UNTAUGHT

"""Settings of optimizer, precision and schedule written beside them are placed where they belong, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from model.training.config import DpoConfig, PretrainConfig, SftConfig
from model.training.flat_keys import SECTIONS
from model.training.optimizers.config import AdamWConfig, MuonConfig, OptimizerConfig, SophiaConfig
from model.training.precisions import Bf16Config, Fp16Config, PrecisionConfig
from model.training.schedules import ScheduleConfig, WsdConfig

PLACED: list[tuple[dict[str, Any], str, Any]] = [
    ({"optimizer": "muon"}, "optimizer", MuonConfig()),
    ({"optimizer": "muon", "momentum": 0.8, "muon_learning_rate": 0.02}, "optimizer", MuonConfig(momentum=0.8, learning_rate=0.02)),
    ({"optimizer": {"kind": "muon", "momentum": 0.8}, "beta2": 0.9}, "optimizer", MuonConfig(momentum=0.8, beta2=0.9)),
    ({"optimizer": "sophia", "sophia_gamma": 0.1, "sophia_every": 3}, "optimizer", SophiaConfig(gamma=0.1, every=3)),
    ({"optimizer": "adamw", "beta1": 0.8}, "optimizer", AdamWConfig(beta1=0.8)),
    ({"optimizer": "adamw", "momentum": 0.95, "sophia_every": 10}, "optimizer", AdamWConfig()),  # defaults of other kinds
    ({"precision": "fp16", "loss_scale": 8}, "precision", Fp16Config(loss_scale=8.0)),
    ({"precision": "bf16", "loss_scale_window": 1000}, "precision", Bf16Config()),
    ({"schedule": "wsd", "decay_share": 0.5}, "schedule", WsdConfig(decay_share=0.5)),
]


@pytest.mark.parametrize(("given", "section", "config"), PLACED, ids=lambda value: str(value) if isinstance(value, dict) else "")
@pytest.mark.parametrize("kind", [PretrainConfig, SftConfig, DpoConfig])
def test_a_setting_beside_its_section_is_one_inside_it(kind: Any, given: dict[str, Any], section: str, config: Any) -> None:
    if kind.HAS_NEXT_TOKENS or not getattr(config, "DRAWS_TARGETS", False):
        train = kind.model_validate(given)
        assert getattr(train, section) == config
        assert kind.model_validate(train.model_dump(mode="json")) == train


@pytest.mark.parametrize("given", [{"beta1": 0.8}, {"optimizer": {"beta1": 0.8}}])
@pytest.mark.parametrize(("kind", "default"), [(PretrainConfig, MuonConfig), (SftConfig, AdamWConfig)])
def test_a_setting_of_an_optimizer_that_is_not_named_is_one_of_the_default(given: dict[str, Any], kind: Any, default: Any) -> None:
    assert kind.model_validate(given).optimizer == default(beta1=0.8)


WRONG = [
    (
        {"optimizer": "lion", "epsilon": 1e-6},
        'epsilon=1e-06 does nothing while optimizer="lion"; change that, or give it its default, 1e-08',
    ),
    (
        {"optimizer": "adamw", "momentum": 0.5},
        'momentum=0.5 does nothing while optimizer="adamw"; change that, or give it its default, 0.95',
    ),
    ({"schedule": "constant", "decay_share": 1}, 'decay_share=1.0 does nothing while schedule="constant"'),
    ({"optimizer": {"kind": "lion", "epsilon": 1e-6}}, "Extra inputs are not permitted"),
    (
        {"optimizer": {"kind": "muon", "momentum": 0.8}, "momentum": 0.9},
        "momentum is optimizer.momentum, and both are given; keep optimizer.momentum",
    ),
    ({"optimizer": "adamx"}, "Input tag 'adamx' found using 'kind' does not match any of the expected tags: 'adamw', 'adam'"),
    (
        {"precision": "fp32", "loss_scale": 8},
        'loss_scale=8.0 does nothing while precision="fp32"; change that, or give it its default, 65536.0',
    ),
    ({"optimizer": 3}, "optimizer"),
    ({"beta1": 1.0}, "Input should be less than 1"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[str(given) for given, _ in WRONG])
def test_a_setting_that_its_kind_does_not_have_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        PretrainConfig.model_validate(given)
    assert message in str(error.value)


def test_every_setting_beside_a_section_is_one_of_some_kind() -> None:
    unions: dict[str, TypeAdapter[Any]] = {
        "optimizer": TypeAdapter(OptimizerConfig),
        "precision": TypeAdapter(PrecisionConfig),
        "schedule": TypeAdapter(ScheduleConfig),
    }
    for section, names in SECTIONS.items():
        kinds = unions[section].json_schema()["$defs"].values()
        assert set(names.values()) <= {name for kind in kinds for name in kind["properties"]}


def test_an_optimizer_says_what_it_needs_and_keeps() -> None:
    kinds = {
        name: TypeAdapter(OptimizerConfig).validate_python({"kind": name}) for name in ("adamw", "lion", "muon", "sophia", "adafactor")
    }
    assert [name for name, config in kinds.items() if "zero" in config.NEEDS_WHOLE] == ["adafactor"]
    assert [name for name, config in kinds.items() if config.DRAWS_TARGETS and config.curvature_every] == ["sophia"]
    assert {name: (config.STATE, config.matrix_state) for name, config in kinds.items()} == {
        "adamw": (2, 2), "lion": (1, 1), "muon": (2, 1), "sophia": (2, 2), "adafactor": (0, 0),
    }  # fmt: skip


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("kind", [["muon"], {"muon": 1}, 3, None], ids=str)
def test_a_kind_that_is_no_name_is_refused_as_a_fault_of_the_recipe(section: str, kind: Any) -> None:
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        PretrainConfig.model_validate({section: {"kind": kind}})

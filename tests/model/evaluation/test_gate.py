"""Gates: bounds, verdicts and their tables."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from model.evaluation.gate import Bound, GateConfig, as_markdown, as_text, judge, passed

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(value=FINITE, minimum=st.none() | FINITE, maximum=st.none() | FINITE)
def test_a_bound_holds_exactly_when_the_value_lies_within_its_limits(value: float, minimum: float | None, maximum: float | None) -> None:
    try:
        bound = Bound(metric="m", minimum=minimum, maximum=maximum)
    except ValidationError:
        assert (minimum is None and maximum is None) or (minimum or 0) > (maximum or 0)
        return
    inside = (minimum is None or value >= minimum) and (maximum is None or value <= maximum)
    (verdict,) = judge({"m": value}, [bound])
    assert verdict.passed is inside and verdict.margin is not None and (verdict.margin >= 0) is inside


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("limits", [{"minimum": -1e300}, {"maximum": 1e300}])
def test_a_missing_or_non_finite_value_fails_any_bound(value: float | None, limits: dict[str, float]) -> None:
    (verdict,) = judge({} if value is None else {"m": value}, [Bound(metric="m", **limits)])
    assert not verdict.passed and verdict.margin is None and verdict.reason


def test_a_gate_without_bounds_is_refused_by_config_and_judge() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        GateConfig(bounds=())
    with pytest.raises(ValueError, match="without bounds"):
        judge({"m": 1.0}, [])
    assert passed([]) is False


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"minimum": 2, "maximum": 1},
        {"minimum": math.nan},
        {"maximum": math.inf},
        {"maximum": 1, "relative_to": "o", "certain": True},
        {"minimun": 1},
    ],
)
def test_an_invalid_bound_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Bound(metric="m", **fields)


def test_int8_may_cost_one_percent_of_bits_per_byte_and_no_more() -> None:
    bound = Bound(metric="int8.bits_per_byte", maximum=1.01, relative_to="fp32.bits_per_byte")
    (good,) = judge({"int8.bits_per_byte": 1.009, "fp32.bits_per_byte": 1.0}, [bound])
    (bad,) = judge({"int8.bits_per_byte": 2.03, "fp32.bits_per_byte": 2.0}, [bound])
    assert good.passed and not bad.passed and bad.value == pytest.approx(1.015)


@pytest.mark.parametrize("other", [{}, {"o": 0.0}, {"o": -1.0}, {"o": math.nan}, {"o": math.inf}])
def test_a_ratio_to_something_missing_or_not_positive_fails(other: dict[str, float]) -> None:
    (verdict,) = judge({"m": 0.0, **other}, [Bound(metric="m", maximum=1.01, relative_to="o")])
    assert not verdict.passed and "o " in verdict.reason


def test_certain_judges_the_unfavourable_end_of_the_interval() -> None:
    metrics = {"score": 0.92, "score_low": 0.88, "score_high": 0.95}
    assert judge(metrics, [Bound(metric="score", minimum=0.9)])[0].passed
    assert not judge(metrics, [Bound(metric="score", minimum=0.9, certain=True)])[0].passed
    assert judge(metrics, [Bound(metric="score", minimum=0.9, certain=True)], {"score": (0.91, 0.93)})[0].passed
    (unknown,) = judge({"score": 0.99}, [Bound(metric="score", minimum=0.9, certain=True)])
    assert not unknown.passed and "no interval" in unknown.reason


def test_the_tables_show_value_bound_margin_and_reason() -> None:
    bounds = [Bound(metric="val.loss", maximum=2.0), Bound(metric="a|b", minimum=0.5), Bound(metric="x", minimum=1)]
    verdicts = judge({"val.loss": 1.5, "a|b": 0.25}, bounds)
    text, markdown = as_text(verdicts), as_markdown(verdicts)
    assert [line.split()[0] for line in text.splitlines()] == ["metric", "--------", "val.loss", "a|b", "x"]
    assert "+0.5" in text and "-0.25" in text and "FAILED: was not measured" in text
    assert "a\\|b" in markdown and len({line.count(" | ") for line in markdown.splitlines()}) == 1


def test_configs_and_gate_import_without_torch_or_tokenizers() -> None:
    modules = "model.evaluation.gate, model.evaluation.config, model.inference.config, model.release.config"
    heavy = "{'torch', 'tokenizers', 'transformers', 'pyarrow', 'numpy', 'jinja2'}"
    code = f"import sys, {modules}, model.release.card; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

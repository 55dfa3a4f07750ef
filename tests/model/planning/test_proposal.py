"""A proposal follows published rules, fits the machine, and warns of what is too big or too small."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.hardware.devices import DRIVER_FILES
from model.hardware.transfers import torch_threads
from model.networks.config import DecoderConfig
from model.networks.meta import count_parameters
from model.planning import rules
from model.planning.machine import Machine, machine_for
from model.planning.proposal import Proposal, Text, described_job, propose, warnings_of
from model.training.config import PretrainConfig, TrainResources

BOOKS = Text(2e9, "books")


def asked(text: Text, machine: Machine, *, parameters: float | None = None, hours: float | None = None) -> Proposal:
    resources = TrainResources.model_validate({"parallel": {"workers": machine.devices}})
    job = described_job(
        DecoderConfig(), 2048, PretrainConfig(optimizer="adamw", global_batch=32 * machine.devices, precision="bf16"), resources
    )
    return propose(text, machine, job, parameters=parameters, hours=hours)


def test_the_model_that_fits_has_twenty_tokens_per_parameter_from_text_read_four_times() -> None:
    found = asked(BOOKS, machine_for("h100", 1, "bf16")).proposed
    assert found.tokens_per_parameter == pytest.approx(20, rel=0.06)
    assert found.epochs == pytest.approx(4, rel=0.15)
    assert not found.warnings


def test_alternatives_have_half_the_tokens_and_five_times_as_many_where_that_reads_no_text_too_often() -> None:
    found = asked(BOOKS, machine_for("h100", 1, "bf16"))
    assert [round(plan.tokens / found.proposed.tokens, 2) for plan in found.alternatives] == [0.5, 1]
    plenty = asked(Text(4e12, "the web"), machine_for("h100", 1, "bf16"), hours=1)
    assert [round(plan.tokens / plenty.proposed.tokens, 2) for plan in plenty.alternatives] == [0.5, 1, 5]
    assert all(plan.epochs <= rules.MOST_EPOCHS * 1.1 for plan in (*found.alternatives, *plenty.alternatives))
    assert [plan.parameters for plan in plenty.alternatives] == [plenty.proposed.parameters] * 3


def test_fewer_hours_make_a_smaller_model_that_is_done_in_time() -> None:
    plenty, machine = Text(4e12, "the web"), machine_for("h100", 8, "bf16")
    day, week = (asked(plenty, machine, hours=hours).proposed for hours in (24, 168))
    assert day.parameters < week.parameters
    assert day.seconds < 24 * 3600 * 1.05
    assert week.seconds < 168 * 3600 * 1.05


def test_the_first_stage_and_the_largest_micro_batch_that_fit_are_proposed() -> None:
    found = asked(Text(4e12, "the web"), machine_for("h100", 64, "bf16"), parameters=13e9).proposed
    stage = found.job.resources.parallel.zero_stage
    assert stage == 3
    assert found.memory[stage].total <= 80 * 2**30 < found.memory[stage - 1].total
    assert not any("does not fit" in warning for warning in found.warnings)
    crowded = asked(Text(4e12, "the web"), machine_for("t4", 1, "fp16"), parameters=7e9).proposed
    assert any(warning.startswith("does not fit: a worker needs") and "16 GiB" in warning for warning in crowded.warnings)


def test_of_scarce_text_a_larger_model_reads_more_often_up_to_ten_times() -> None:
    novels, machine = Text(2.3e6, "six novels"), machine_for("h100", 1, "bf16")
    found = asked(novels, machine).proposed
    different = novels.tokens(found.job.vocab_size)
    assert found.parameters == pytest.approx(rules.largest_for(novels.tokens(2048)), rel=0.25)
    assert found.parameters > 5 * rules.GOOD_EPOCHS * different / rules.TOKENS_PER_PARAMETER
    assert 8 < found.epochs <= rules.MOST_EPOCHS * 1.1 and not found.warnings


def test_more_hours_for_scarce_text_make_a_larger_model_then_more_epochs_then_nothing() -> None:
    novels, slow = Text(2.3e6, "six novels"), Machine("a CPU", 1, False, 2**34, 1e11, "given", 0.3, "given")
    found = [asked(novels, slow, hours=minutes / 60).proposed for minutes in (1, 3, 12, 60, 600)]
    sizes, epochs = [plan.parameters for plan in found], [round(plan.epochs) for plan in found]
    assert sizes == sorted(sizes) and epochs == sorted(epochs) and sizes[0] < sizes[2] and epochs[0] < epochs[3]
    assert found[3].job == found[4].job
    assert all(plan.seconds <= minutes * 60 * 1.15 for plan, minutes in zip(found, (1, 3, 12, 60, 600), strict=True))


def test_where_text_is_plenty_the_rule_for_scarce_text_is_the_published_one() -> None:
    assert rules.largest_for(1e9) == pytest.approx(2e8)
    assert rules.largest_for(rules.PLENTY * 0.999) == pytest.approx(rules.largest_for(rules.PLENTY), rel=0.01)


@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_a_larger_vocabulary_has_tokens_of_more_bytes(one: float, other: float) -> None:
    low, high = sorted((round(one), round(other)))
    assert rules.bytes_per_token(low) <= rules.bytes_per_token(high)
    assert rules.bytes_per_token(4096) == 3.6


def test_too_big_memorizes_and_too_small_underfits() -> None:
    assert "trained for long, memorize it" in warnings_of(20_000_000, 200e6, 1e6)[0]
    assert any("undertrained: 1.0 tokens per parameter" in warning for warning in warnings_of(1_000_000, 1e6, 1e6))
    assert any(warning.startswith("too small: 4 k parameters for 1 M tokens underfit") for warning in warnings_of(4_000, 1e6, 1e6))
    assert warnings_of(200_000, 4e6, 1e6) == warnings_of(1_500_000, 4e6, 1e6) == []


@given(st.floats(1e4, 1e12), st.floats(1e3, 1e14), st.floats(1, 1e13))
def test_advice_never_says_both_smaller_and_larger(parameters: float, tokens: float, different: float) -> None:
    said = " ".join(warnings_of(round(parameters), tokens, different))
    assert not ("larger model" in said and ("smaller model" in said or "too big" in said))


def test_repeated_text_is_worth_less_and_less() -> None:
    # Muennighoff et al. 2023: up to four passes are nearly as good as new text; beyond forty nothing is gained.
    assert rules.effective_epochs(0.5) == 0.5
    assert rules.effective_epochs(4) / 4 > 0.9
    assert rules.effective_epochs(60) - rules.effective_epochs(40) < 1.5


def test_rate_and_batch_are_those_of_the_published_fit() -> None:
    # DeepSeek LLM, section 3.1: at 1e20 operations about 1e-3 and 1 M tokens.
    assert rules.learning_rate(1e20) == pytest.approx(9.86e-4, rel=0.01)
    assert rules.batch_tokens(1e20) == pytest.approx(1.02e6, rel=0.02)


@settings(max_examples=15, deadline=None)
@given(st.floats(3e5, 2e10), st.sampled_from([512, 4096, 32768]))
def test_a_shape_has_about_the_requested_parameters(parameters: float, vocabulary: int) -> None:
    if vocabulary * 128 < parameters / 3:
        shape = rules.shape_for(parameters, vocabulary, DecoderConfig())
        assert count_parameters(shape, vocabulary) == pytest.approx(parameters, rel=0.25)


def test_measuring_this_machine_leaves_torch_with_the_threads_that_it_had() -> None:
    import torch

    with torch_threads(1):
        machine_for("cpu", 1, "fp32")
        assert torch.get_num_threads() == 1


def test_a_glance_at_this_machine_tells_much_the_same_and_loads_torch_only_for_an_accelerator() -> None:
    code = (
        "import sys\nfrom model.planning.machine import glanced_machine, machine_for\n"
        "glance = glanced_machine('fp32')\nprint('torch' in sys.modules, glance.peak / machine_for('here', 1, 'fp32').peak)"
    )
    loaded, ratio = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == str(any(driver.exists() for driver in DRIVER_FILES))
    assert 0.2 < float(ratio) < 5

"""The report has the adapters of one model side by side."""

from __future__ import annotations

from tests.tasks.reporting.example_run import RunMaker

TOOK = {"trained_parameters": 1000.0, "weight_parameters": 50_000.0, "weight_bytes": 30_000.0, "peak_memory_bytes": 5e8, "steps": 12.0}


def test_each_adapter_is_a_row_with_quality_size_memory_and_time(maker: RunMaker) -> None:
    history = [{"step": 1, "loss": 0.7}]
    config = {"seed": 1, "train": {"kind": "sft", "steps": 1}}
    for name, metrics in (("low", TOOK), ("whole", {**TOOK, "trained_parameters": 50_000.0})):
        files = {"history.jsonl": history, "model.safetensors": "w" * 2_000}
        files |= {"adapter/adapter_model.safetensors": "a" * 300} if name == "low" else {}
        maker.made(f"adapt.{name}", files, metrics=metrics, config=config)
    right = {"questions.seen": 0.5, "questions.seen_low": 0.45, "questions.seen_high": 0.55}
    for name in ("chat", "low", "whole"):
        maker.made(f"evaluate.{name}", {"samples.jsonl": []}, metrics=right | {"val.bits_per_byte": 1.5})
    shown = maker.page().sections["adapters"]
    assert "method val.bits_per_byte questions.seen trained of all weights in memory peak memory time steps on disk" in shown
    assert "before 1.5 50 % (45 % to 55 %)" in shown
    assert "low 1.5 50 % (45 % to 55 %) 1,000 2 % 30 kB 500 MB" in shown and "12 300 bytes" in shown
    assert "whole 1.5 50 % (45 % to 55 %) 50,000 100 %" in shown and "12 2 kB" in shown


def test_a_run_without_adapters_has_no_such_section(maker: RunMaker) -> None:
    maker.made("evaluate.chat", {"samples.jsonl": []}, metrics={"val.bits_per_byte": 1.5})
    assert "adapters" not in maker.page().sections

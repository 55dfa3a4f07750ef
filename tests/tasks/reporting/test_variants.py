"""Quantized forms on the page of a run."""

from __future__ import annotations

import json

from tests.tasks.reporting.example_run import RunMaker


def measured(maker: RunMaker, name: str, size: float, kl: float, tool: str, *, passed: bool) -> None:
    sizes = {"bytes_before": 4e6, "bytes_after": size, "size_ratio": size / 4e6, "parameters": 1e6, "bits_per_weight": 8 * size / 1e6}
    maker.made(f"quantize.{name}", {"model": "1"}, metrics=sizes)
    found = {"kl": kl, "kl_low": kl / 2, "kl_high": kl * 2, "top1": 0.98, "bits_per_byte": 1.52, "parent_bits_per_byte": 1.5}
    found |= {"bits_per_byte_ratio": 1.0133, "tokens_per_second": 12345.6, "memory_bytes": size, "passed": float(passed)}
    verdict = {"rows": [], "passed": passed, "overruled": None, "tool": tool}
    maker.made(f"measure.{name}", {"verdict.json": json.dumps(verdict)}, metrics=found | {"parent_memory_bytes": 4e6})


def test_each_form_stands_beside_the_model_with_its_size_quality_and_tool(maker: RunMaker) -> None:
    measured(maker, "int8", 1e6, 0.0004, "folio", passed=True)
    measured(maker, "q4", 6e5, 0.3, "llama.cpp", passed=False)
    maker.made("evaluate.q4", {"samples.jsonl": []}, metrics={"questions.heldout": 0.75})
    shown = maker.page().sections["variants"]
    assert "full precision 4 MB 32" in shown
    assert "INT8 1 MB 8 1.52 +1.33 % 0.0004 (0.0002 to 0.0008) 98 %" in shown and "12,346 1 MB folio yes" in shown
    assert "0.3 (0.15 to 0.6) 98 % 75 % 12,346 600 kB llama.cpp no" in shown
    assert "divergence, nats a token" in shown


def test_a_run_without_forms_has_no_such_section(maker: RunMaker) -> None:
    maker.made("export", {"config.json": "{}"}, metrics={"parameters": 10.0})
    assert "variants" not in maker.page().sections

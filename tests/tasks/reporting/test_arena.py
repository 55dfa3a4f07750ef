"""The arena on the page of a run and on a terminal: every network in both tables, and what is not compared said."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.reporting.arena import arena_text
from tasks.reporting.summary import Results
from tasks.stage.store.artifact import Cost
from tests.tasks.reporting.example_run import RunMaker

GRU: dict[str, Any] = {"kind": "hybrid", "mixers": [{"kind": "gru"}], "width": 32, "layers": 1}
ATTENTION: dict[str, Any] = {"kind": "decoder", "width": 32, "layers": 1, "heads": 2, "kv_heads": 1, "feed_forward": 64}
LENGTHS = (64, 1024)


def competed(
    maker: RunMaker, name: str, model: dict[str, Any], parameters: float, right: float, bits: float, kept: dict[int, float]
) -> None:
    trained = {} if model["kind"] == "ngram" else {"tokens_per_second": 12_345.6}
    cost = Cost(wall_seconds=20.0, cpu_seconds=31.0)
    maker.made(f"compete.{name}", {"config.json": "{}"}, metrics=trained, config={"model": model}, cost=cost)
    metrics = {
        "val.bits_per_byte": bits,
        "parameters": parameters,
        "operations": 6 * parameters,
        "questions.heldout": right,
        "questions.heldout_count": 400.0,
    }
    metrics |= {f"state_bytes.{length}": size for length, size in kept.items()} | {f"writes_per_second.{length}": 900.0 for length in kept}
    maker.made(f"appraise.{name}", {"metrics.json": "{}"}, metrics=metrics)


@pytest.fixture
def run(maker: RunMaker) -> RunMaker:
    """Attention from three seeds, a larger GRU that has no room for long texts, and counts."""
    maker.made("baseline", {"metrics.json": {}}, metrics={"chance.questions.heldout": 0.125})
    for seed, right in enumerate((0.9, 0.95, 1.0)):
        competed(maker, f"attention.{seed}", ATTENTION, 10_000, right, 1.5 + seed / 100, {64: 16_000.0, 1024: 256_000.0})
    competed(maker, "gru.0", GRU, 12_500, 0.1, 1.9, {64: 128.0})
    competed(maker, "counts.0", {"kind": "ngram"}, 3e6, 0.0, 2.5, {64: 40.0, 1024: 40.0})
    return maker


def lines(maker: RunMaker) -> list[str]:
    return arena_text(Results(dict(maker.run.artifacts), maker.run.store.local))


def test_the_terminal_has_every_network_best_first_with_intervals_and_chance(run: RunMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = lines(run)
    assert max(map(len, said)) <= 80
    rows = {line.split()[0]: line for line in said[3:8] if line.strip()}
    assert list(rows) == ["attention", "gru", "counts", "chance"]
    # Student's over 0.9, 0.95 and 1 is 0.95 +- 4.303 x 0.0289, and no share is above 1.
    assert "1.510 ± 0.025" in rows["attention"] and "95 (83-100) %" in rows["attention"] and "12,346" in rows["attention"]
    assert rows["counts"].count("counted") == 2 and "3.00M" in rows["counts"] and "12 %" in rows["chance"]


def test_what_a_network_lacks_or_what_is_not_compared_is_said(run: RunMaker) -> None:
    said = " ".join("\n".join(lines(run)).split())
    assert "no room" in said and "Not of equal size with attention: gru (1.25 times)." in said
    assert "with the numbers of its tables as weights: counts." in said
    assert "Not here: tables at equal operations and at equal time." in said


def test_the_page_has_both_tables_and_three_plots(run: RunMaker) -> None:
    page = run.page()
    shown = page.sections["arena"]
    for caption in ("Bits for each byte", "Held-out questions answered right", "Kept of a text of 1,024 tokens", "Equal parameters"):
        assert caption in shown
    assert "of 64: 16 kB" in shown and "256 kB" in shown


def test_a_run_without_an_arena_says_nothing_of_it(maker: RunMaker) -> None:
    maker.made("export", {"config.json": "{}"}, metrics={"parameters": 10.0})
    assert lines(maker) == [] and "arena" not in maker.page().sections

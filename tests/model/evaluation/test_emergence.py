"""What emerges in thinking is counted by what thoughts say and how long they are, never by what they should have said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.evaluation.config import ThinkingConfig
from model.evaluation.emergence import Thought, corrections_in, measure_emergence, restates, score, thought_of
from model.inference.chat_format import ChatFormat
from model.networks.network import Network


def thought(hops: int, tokens: int, *, corrections: tuple[str, ...] = (), restated: bool = False, right: bool = True) -> Thought:
    return Thought(
        set="hops", question="?", hops=hops, thought="", tokens=tokens, corrections=list(corrections), restated=restated, right=right
    )


def test_the_thought_of_a_reply_is_what_stands_between_the_markers() -> None:
    assert thought_of("<think>\nAda lives in Oster.\n</think>\n\nIt is Maud.") == "Ada lives in Oster."
    assert thought_of("<think>\nno end") == "no end" and thought_of("It is Maud.") == ""


def test_words_of_self_correction_are_found_as_whole_words() -> None:
    assert corrections_in("Ada lives in Oster. Wait, that is wrong. Holm.") == ["wait", "that is wrong"]
    assert corrections_in("The waiter actualized it.") == []


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Ada lives in Oster. Ada lives in Holm.", True),
        ("Ada lives in Oster. Ada lives in Oster.", False),
        ("Ada lives in Oster. Holm is ruled by Maud.", False),
        ("Ada is. Ada was.", False),
        ("", False),
    ],
)
def test_a_sentence_with_another_end_is_a_restatement(said: str, found: bool) -> None:
    assert restates(said) is found


def test_longer_thought_on_harder_questions_is_a_slope_with_its_interval() -> None:
    thoughts = [thought(hops, 10 * hops + spread) for hops in (1, 2, 3) for spread in (0, 1, 2)] + [thought(0, 500)]
    metrics = score(thoughts, resamples=200, confidence=0.95, seed=0)
    assert metrics["thinking.longer_per_hop"] == pytest.approx(10)
    assert 9 < metrics["thinking.longer_per_hop_low"] <= 10 <= metrics["thinking.longer_per_hop_high"] < 11
    assert [metrics[f"thinking.tokens_{hops}_hops"] for hops in (1, 2, 3)] == [11, 21, 31]
    assert metrics["thinking.thoughts"] == 10 and "thinking.corrected_right" not in metrics


def test_thoughts_that_correct_themselves_are_counted_with_how_many_end_right() -> None:
    thoughts = [thought(2, 9, corrections=("wait",)), thought(2, 9, restated=True, right=False), thought(2, 9), thought(2, 9)]
    metrics = score(thoughts, resamples=100, confidence=0.95, seed=0)
    assert (metrics["thinking.corrected"], metrics["thinking.restated"], metrics["thinking.corrected_right"]) == (0.25, 0.25, 0.5)
    assert "thinking.longer_per_hop" not in metrics  # all take as many facts


def test_the_thoughts_of_a_model_are_written_down_and_measured_under_their_names(
    decoder: Network, chat_format: ChatFormat, tmp_path: Path
) -> None:
    asked = [{"question": f"Who {verb}?", "answers": ["a"], "fact": verb} for verb in ("walked", "sat")]
    (tmp_path / "questions_seen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (tmp_path / "questions_hops.jsonl").write_text("".join(json.dumps({**row, "hops": 2}) + "\n" for row in asked))
    config = ThinkingConfig(questions="seen", budgets=(6,), emergence=("seen", "hops"), answer_tokens=8)
    metrics, thoughts = measure_emergence(decoder.decoding(), chat_format, tmp_path, config, resamples=100, confidence=0.95, seed=0)
    assert [one["hops"] for one in thoughts] == [1, 1, 2, 2] and any(one["tokens"] > 0 for one in thoughts)
    assert set(metrics) <= set(config.metrics) and metrics["thinking.thoughts"] == 4

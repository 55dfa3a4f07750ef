"""Each section shows the numbers and texts of the artifacts."""

from __future__ import annotations

import pytest

from data.splits.config import LargeCluster
from tests.tasks.lineage.edited_corpus import WHITE, EditedCorpus
from tests.tasks.reporting.example_run import (
    FUNNEL,
    HOSTILE,
    RunMaker,
    whole_run,
)

NUMBERS = [
    ("", "books in 112 111 stayed"),
    ("", "training tokens 285,849 vocabulary of 2,048"),
    ("", "parameters 988,288"),
    ("", "held-out questions 93.1 % right of 127; seen ones 97 %"),
    ("", "bits per byte 1.5 release model on test"),
    ("", "INT8 costs +0.20 % bits per byte, at 26 % of the size"),
    ("corpus", "112 documents came in, 111 stayed; ingest removed 1. Every document and character is accounted for."),
    ("corpus", "−122,594: 115,262 layout, 7,332 running heads"),
    ("corpus", "en 1,200,000 100 documents"),
    ("rules", "binary 1 books/photo.txt"),
    ("rules", "books/hamlet.txt Othello"),
    ("corpus", "13,877"),
    ("tokenizer", "In train, 0.3 % of the tokens are unknown, and 0.5 % of the bytes are lost with them"),
    ("tokenizer", "Train uses 91 % of its 2,048 tokens. A token holds 4.15 bytes on average, and a word takes 1.05 tokens."),
    ("tokenizer", "Runa keeps a goose. 19 12 77"),
    ("tokenizer", "2,048 (chosen) 2,048 3.5 12.3 % 1 % 262,144"),
    ("corpus", "281 rows of conversation"),
    ("rules", "running heads 7,332 364 places"),
    ("packing", "Documents were packed into rows of 256 tokens, and no document that fits a row was cut. Padding is 0.4 % of train."),
    ("packing", "train books 274,664 1,234 0 560"),
    ("truth", "cleaning, precision 99.9 %"),
    ("truth", "mojibake 81.2 %"),
    ("learning", "Pretraining took 100 steps and 2.0 s, and ended at a validation loss of 5.1."),
    ("measured", "1.503"),
    ("measured", "1.403 to 1.603"),
    ("measured", "release, held out"),
    ("talk", "held-out question wrong"),
    ("sizes", "988,288 parameters: 4 layers of width 128, 256 tokens of context"),
    ("sizes", "1.03 MB 26 %"),
    ("sizes", "1.23 kB"),
    ("stages", "took 24.0 s of work, 36.0 s of CPU. This run reused 2 stages and ran 10, for 20.0 s of work"),
]


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The text of each section of a whole run's page."""
    maker = RunMaker(tmp_path_factory.mktemp("sections"))
    whole_run(maker)
    return maker.page().sections


@pytest.mark.parametrize(("section", "shown"), NUMBERS, ids=[shown for _, shown in NUMBERS])
def test_the_numbers_are_those_of_the_artifacts(sections: dict[str, str], section: str, shown: str) -> None:
    assert shown in sections[section]


def test_each_rule_is_shown_with_an_example_of_what_it_removed(maker: RunMaker) -> None:
    large = LargeCluster(split="val", cluster="ab12", documents=20, asked=5, found=23, total=100, mode="counts")
    account = EditedCorpus(maker.run.store, large=[large]).write()
    maker.run.artifacts.update(account.made)
    page = maker.page()
    assert "val has 23 of 100 documents (23.0%), where split.val_documents asks for 5 (5.0%)" in page.sections["corpus"]
    assert f"dedup paragraph quoting.txt {WHITE}" in page.sections["rules"]
    assert "clean running heads alice.txt ALICE IN WONDERLAND" in page.sections["rules"]
    assert "filter language french.txt Il était une fois" in page.sections["rules"]
    assert "no text 1 books/photo.txt" in page.sections["rules"]
    assert "A machine wrote 1 of them, 14.1 % of the characters." in page.sections["corpus"]


def test_how_well_personal_data_is_found_is_a_matrix(maker: RunMaker) -> None:
    matrix = {"email": {"email": 57, "partly": 1, "nothing": 2}, "nothing": {"email": 3, "partly": 0, "nothing": 57}}
    maker.made("filter[0]", {"personal_data.json": matrix}, metrics={})
    maker.made("filter[1]", {}, metrics={})
    section = maker.page().sections["personal"]
    assert "what stands there email partly nothing right" in section
    assert "email 57 1 2 95 % nothing 3 57 95 %" in section


def test_sampled_replies_are_shown_with_each_reward_and_the_verifier(maker: RunMaker) -> None:
    reply = {"question": "Who?", "fact": "f", "reply": f"Runa {HOSTILE}", "ended": False, "reward": 1.2, "verified": 0.0}
    replies = [{**reply, "rewards": {"answer": 1.0, "concise": 0.2}}] * 3
    lines = [{"step": n, "loss": 0.1, "reward": 1.0, "reward_answer": 0.8, "verified": 0.5, "entropy": 1.0} for n in (1, 2, 3)]
    files = {"history.jsonl": lines, "rollouts/cycle-000000/replies.jsonl": replies, "rollouts/cycle-000011/replies.jsonl": replies}
    maker.made("tune.grpo", files, metrics={"steps": 3.0}, config={"seed": 1, "train": {"kind": "grpo", "steps": 3}})
    page = maker.page()
    assert "Reinforcement learning: each reward" in page.sections["rewards"] and "entropy of sampling" in page.sections["rewards"]
    assert f"12 Who? Runa {HOSTILE} … 1.2 answer 1, concise 0.2 0" in page.sections["rewards"]


def test_what_thinking_is_worth_is_drawn_and_said(maker: RunMaker) -> None:
    tried = {"budget_0": (0.2, 9.0), "budget_64": (0.55, 41.5), "majority_5": (0.6, 200.0)}
    metrics = {f"thinking.{name}{what}": value[place] for name, value in tried.items() for place, what in enumerate(("", "_tokens"))}
    maker.made("evaluate.chat", {"samples.jsonl": []}, metrics=metrics)
    shown = maker.page().sections["measured"]
    assert "What thinking is worth, chat model" in shown and "at most 64 tokens of thinking: 55 % for 41.5 tokens" in shown
    assert "majority of 5: 60 % for 200 tokens" in shown


def test_what_emerged_in_thinking_is_drawn_and_thoughts_that_correct_themselves_are_shown(maker: RunMaker) -> None:
    metrics = {"thinking.thoughts": 40.0, "thinking.corrected": 0.05, "thinking.restated": 0.1, "thinking.corrected_right": 0.5}
    metrics |= {f"thinking.{what}_{hops}_hops": value * hops for hops in (1, 2) for what, value in (("tokens", 11.0), ("right", 0.4))}
    metrics |= {"thinking.longer_per_hop": 11.0, "thinking.longer_per_hop_low": 9.0, "thinking.longer_per_hop_high": 13.0}
    thought = {"set": "hops", "question": "Who rules?", "hops": 2, "tokens": 9, "restated": False, "right": True}
    thoughts = [
        {**thought, "thought": f"Holm. Wait. {HOSTILE}", "corrections": ["wait"]},
        {**thought, "thought": "Oster.", "corrections": []},
    ]
    maker.made("evaluate.chat", {"samples.jsonl": [], "thoughts.jsonl": thoughts}, metrics=metrics)
    shown = maker.page().sections["measured"]
    assert "How long it thinks, chat model" in shown and "longer thought on harder problems" in shown and "22 tokens" in shown
    assert "Of 40 thoughts 5 % have words of self-correction, and 10 % say a sentence again with another end" in shown
    assert "Thoughts that correct themselves, chat model (wait 1)" in shown and "Oster." not in shown
    assert "What thinking is worth" not in shown


def test_the_best_by_a_reward_model_is_in_the_curve_of_thinking(maker: RunMaker) -> None:
    tried = {"budget_16": (0.4, 20.0), "best_4": (0.7, 80.0)}
    metrics = {f"thinking.{name}{what}": value[place] for name, value in tried.items() for place, what in enumerate(("", "_tokens"))}
    maker.made("evaluate.chat", {"samples.jsonl": []}, metrics=metrics)
    assert "best of 4 by the reward model: 70 % for 80 tokens" in maker.page().sections["measured"]


def test_a_corpus_whose_faults_are_unknown_is_not_scored(maker: RunMaker) -> None:
    maker.made("audit", {"funnel.json": FUNNEL}, metrics={"documents_in": 112.0, "documents_kept": 111.0})
    assert "truth" not in maker.page().sections and "corpus" in maker.page().sections


def test_a_text_is_shown_as_tokens_with_their_numbers_and_unknown_ones_are_marked(maker: RunMaker) -> None:
    whole_run(maker)
    tokens = [found for tag, found in maker.page().tags if tag == "span" and "token" in found.get("class", "").split()]
    assert [(found["class"], found["title"]) for found in tokens] == [
        ("token", "token 300"),
        ("token odd unknown", "token 7, unknown"),
        ("token", "token 301"),
        ("token odd", "token 302"),
    ]
    assert "Runa Runa keeps a goose. ↵ ·" in maker.page().sections["tokenizer"]


def test_a_model_that_fills_gaps_is_shown_by_the_hidden_tokens_that_it_finds(maker: RunMaker) -> None:
    def filled(accuracy: float, loss: float) -> dict[str, float]:
        metrics = {
            "test.masked_accuracy": accuracy,
            "test.masked_accuracy_low": accuracy - 0.01,
            "test.masked_accuracy_high": accuracy + 0.01,
        }
        return metrics | {"test.masked_loss": loss, "test.hidden": 1234.0}

    maker.made("export", {"config.json": "{}"}, metrics={"parameters": 10.0})
    maker.made("quantize.int8", {"model": "1"}, metrics={"bytes_before": 4.0, "bytes_after": 1.0, "size_ratio": 0.25})
    maker.made("evaluate.release", {"samples.jsonl": []}, metrics=filled(0.62, 1.5))
    maker.made("evaluate.int8", {"samples.jsonl": []}, metrics=filled(0.61, 1.53))
    sections = maker.page().sections
    assert "hidden tokens found 62 % release model on test; masked loss 1.5" in sections[""]
    assert "INT8 costs +2.00 % masked loss, at 25 % of the size" in sections[""]
    assert "How well it fills gaps" in sections["measured"] and "release test 62 % 61 % to 63 % 1,234 1.5" in sections["measured"]
    assert "How well it predicts text" not in sections["measured"]
    assert "INT8 changes its masked loss on test by +2.00 %" in sections["sizes"]

"""The model card."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from model.release.card import CorpusFact, ModelCard, TrainingFact, corpus_facts, escape_markdown, figure, render_card, training_facts
from model.training.length import TrainingLength

PLAIN_FORM: dict[str, Any] = {"tools": [], "released": True, "failed": "", "overruled": "", "megabytes": 1.5, "bits": 8.1, "tool": "folio",
                              "measured": {}, "uses": []}  # fmt: skip
VARIANTS = [{**PLAIN_FORM, "label": "INT8", "folder": "int8"}, {**PLAIN_FORM, "label": "INT4", "folder": "small", "tools": ["vllm"]}]
FACTS = {
    "parameters": 1_234_567, "vocabulary": 900, "context": 128, "dtype": "float32", "variants": VARIANTS, "full": {}, "plot": "",
    "hub_class": "LlamaForCausalLM", "refusal": "", "supports": frozenset({"causal", "generation"}), "adapters": [],
}  # fmt: skip
PLAIN = ModelCard(name="x", summary="s", recipe="r", intended_use=("u",), limits=("l",))


def test_a_full_card_holds_every_fact() -> None:
    card = ModelCard(
        name="universe", summary="A model of a small world.", recipe="universe", licence="mit",
        intended_use=("Learning how models are made.",), limits=("It believes that the moon is made of glass.",),
        corpus=(CorpusFact(name="universe", documents=100, characters=1_800_000, licence="CC0"),),
        training={"steps": 600, "tokens": 3_300_000}, metrics={"val.loss": 1.23456},
        gates=(("val.loss", "1.235", "<= 1.5", "+0.265", "passed"),), lineage={"corpus": "3f9a2c1e"},
        conversation=(("user", "Who?"), ("assistant", "Ada.")),
    )  # fmt: skip
    text = render_card(card, FACTS)
    for fact in ("1,234,567", "moon is made of glass", "| universe | 100 | 1,800,000 | CC0 |", "3,300,000", "1.235",
                 "passed", "3f9a2c1e", "> **assistant**: Ada.", "float32; INT8 in `int8/`; INT4 in `small/` for vllm |"):  # fmt: skip
        assert fact in text.replace("\\", ""), fact
    assert "\n\n\n" not in text


def test_lengths_that_patience_may_cut_are_called_limits() -> None:
    length = TrainingLength(steps=10, global_batch=4)
    whole, cut = (
        TrainingFact(title=title, length=length, learning_rate=0.1, precision="fp32", may_end_early=early)
        for title, early in (("pretrain", False), ("sft", True))
    )
    facts = training_facts((whole, cut), context=8, seed=1, flops=6.0)
    assert facts["pretrain, steps"] == 10 and facts["pretrain, tokens"] == 320
    assert facts["sft, steps, at most"] == 10 and facts["tokens in all steps, padding included, at most"] == 640
    assert "tokens in all steps, padding included" in training_facts((whole,), context=8, seed=1, flops=6.0)


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        (True, "deduplication; validation and test texts are not among it."),
        (False, "deduplication; validation or test texts are among it"),
        (None, "deduplication."),
    ],
)
def test_a_card_says_of_validation_texts_what_is_known_of_them(held_out: bool | None, said: str) -> None:
    assert said in render_card(PLAIN.model_copy(update={"held_out": held_out}), FACTS)


def test_missing_facts_are_shown_as_missing() -> None:
    text = render_card(PLAIN, FACTS)
    assert text.count("Not stated.") == 4 and "No gate was passed: treat this model as untested." in text


def test_a_card_without_limits_or_use_is_refused() -> None:
    for missing in ("limits", "intended_use"):
        with pytest.raises(ValidationError, match=missing):
            ModelCard.model_validate({**PLAIN.model_dump(), missing: ()})


@settings(max_examples=60, deadline=None)  # each compiles the template twice
@given(hostile=st.text(max_size=30) | st.sampled_from(["---\nx: 1", "<script>", "a | b", "[x](y)", "`x`", "# h", "- i"]))
def test_text_from_outside_cannot_become_markup_front_matter_or_a_column(hostile: str) -> None:
    fields = {"name": f"x{hostile}", "licence": hostile, "gates": ((hostile,) * 5,), "lineage": {hostile: hostile}}
    fields |= {"conversation": (("user", hostile),), "summary": f"x{hostile}"}
    text = render_card(ModelCard.model_validate({**PLAIN.model_dump(), **fields}), FACTS)
    plain = render_card(PLAIN.model_copy(update={"gates": (("a",) * 5,), "lineage": {"a": "a"},
                                                 "conversation": (("user", "a"),)}), FACTS)  # fmt: skip
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == hostile
    assert yaml.safe_load(front).keys() == {"library_name", "pipeline_tag", "license", "language"}
    assert len(body.split("\n")) == len(plain.split("---\n", 2)[2].split("\n"))
    for line in body.split("```python")[0].split("\n"):
        assert not re.search(r"(?<!\\)[<\[]", line), line


def test_every_character_of_markup_is_escaped() -> None:
    assert escape_markdown("a|b *c* <d>\n# e") == r"a\|b \*c\* \<d\> \# e"
    assert [figure(value) for value in (1234567, 0.123456, 1e20, "x_y", True)] == [
        "1,234,567", "0.1235", "1e+20", r"x\_y", "True"]  # fmt: skip


def test_a_metric_is_shown_with_its_interval_on_one_line() -> None:
    metrics = {"q.right": 0.9, "q.right_low": 0.85, "q.right_high": 0.95, "q.right_error": 0.02, "q.asked": 1340.0}
    card = PLAIN.model_copy(update={"metrics": metrics})
    text = render_card(card, FACTS).replace("\\", "")
    assert "| q.right | 0.9 (0.85 to 0.95) |" in text and "| q.asked | 1,340 |" in text
    assert "q.right_low" not in text and "q.right_error" not in text


def test_the_corpus_is_that_of_the_training_split_and_of_conversations_where_they_were_read(tmp_path: Path) -> None:
    sizes, more = {"documents": 2, "characters": 9}, {"documents": 1, "characters": 4}
    splits = [{"split": "val", "sources": {"other": sizes}}, {"split": "train", "sources": {"books": sizes}}]
    (funnel := tmp_path / "funnel.json").write_text(json.dumps({"splits": splits}))
    (talks := tmp_path / "sources.json").write_text(json.dumps({"chats": more}))
    licences = {"books": "CC0", "chats": "mine", "other": "none"}
    books, chats = CorpusFact(name="books", licence="CC0", **sizes), CorpusFact(name="chats", licence="mine", **more)
    assert corpus_facts(funnel, talks, licences) == (books, chats)
    assert corpus_facts(None, talks, licences) == (chats,) and corpus_facts(funnel, None, licences) == (books,)

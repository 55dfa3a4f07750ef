"""A recipe's model may be any kind of network; what a kind cannot do is refused by name before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.cli.commands.recipe import diff_recipes, show_recipe
from flows.recipe.loading import load
from flows.recipe.validation import RecipeError
from model.networks.config import EncoderConfig, NgramConfig, RecurrentConfig

GATES = {
    "base": {"bounds": [{"metric": "base.val.masked_accuracy", "minimum": 0.2}]},
    "chat": {"bounds": [{"metric": "chat.val.masked_loss", "maximum": 6}]},
    "release": {"bounds": [{"metric": "int8.test.masked_loss", "relative_to": "release.test.masked_loss", "maximum": 1.1}]},
}
RECURRENT: dict[str, Any] = {"model": {"kind": "recurrent", "width": 64}, "export": {"format": "folio"}}
ENCODER: dict[str, Any] = {
    "model": {"kind": "encoder", "width": 64}, "pretrain": {"kind": "masked"}, "tuning": [], "gates": GATES,
}  # fmt: skip

BOTH: dict[str, Any] = {
    **ENCODER,
    "model": {"kind": "encoder_decoder", "width": 64},
    "pretrain": {"kind": "spans"},
    "gates": {
        "base": {"bounds": [{"metric": "base.val.span_accuracy", "minimum": 0.2}]},
        "chat": {"bounds": [{"metric": "chat.val.span_loss", "no_worse_than": "base"}]},
        "release": {"bounds": [{"metric": "int8.test.span_loss", "relative_to": "release.test.span_loss", "maximum": 1.1}]},
    },
}
NGRAM: dict[str, Any] = {"model": {"kind": "ngram"}}


def recipe(folder: Path, sections: dict[str, Any], **changes: Any) -> str:
    path = folder / "mine.yaml"
    ingest = {"sources": [{"kind": "universe"}]}
    path.write_text(yaml.safe_dump({"name": "mine", "ingest": ingest, **sections, **changes}), encoding="utf-8")
    return str(path)


def test_a_kind_is_chosen_by_its_name_and_brings_its_own_keys(tmp_path: Path) -> None:
    assert load(recipe(tmp_path, RECURRENT)).model == RecurrentConfig(width=64)
    assert load(recipe(tmp_path, ENCODER)).model == EncoderConfig(width=64)
    shown = show_recipe(recipe(tmp_path, ENCODER), "model")
    assert 'kind: "encoder"' in shown and "heads: 4" in shown and "kv_heads" not in shown


def test_a_model_that_is_counted_needs_no_other_key_and_is_compared_with_single_tokens(tmp_path: Path) -> None:
    loaded = load(recipe(tmp_path, NGRAM))
    assert loaded.model == NgramConfig()
    assert (loaded.tuning, loaded.release.variants, loaded.export.format) == ((), (), "folio")
    asked = {chapter: str(getattr(loaded.gates, chapter).bounds[0]) for chapter in ("base", "chat", "release")}
    assert asked == {
        "base": "<= 1 x baseline.unigram.val.bits_per_byte",
        "chat": "<= 1 x base.val.bits_per_byte",
        "release": "<= 1 x baseline.unigram.test.bits_per_byte",
    }
    overruled = load(recipe(tmp_path, NGRAM, gates={"base": {"overrule": "for a reason"}}))
    assert overruled.gates.base.bounds == loaded.gates.base.bounds and overruled.gates.base.overrule == "for a reason"
    own = load(recipe(tmp_path, NGRAM, gates={"base": {"bounds": [{"metric": "base.val.bits_per_byte", "maximum": 3}]}}))
    assert [str(bound) for bound in own.gates.base.bounds] == ["<= 3"]


def test_neither_seed_nor_machine_changes_what_is_counted(tmp_path: Path) -> None:
    assert load(recipe(tmp_path, NGRAM, seed=5)).pretraining == load(recipe(tmp_path, NGRAM, seed=6)).pretraining
    assert load(recipe(tmp_path, NGRAM)).pretraining.train.precision.kind == "auto"


@pytest.mark.parametrize("sections", [RECURRENT, ENCODER, BOTH, NGRAM], ids=["recurrent", "encoder", "encoder_decoder", "ngram"])
def test_what_is_shown_of_a_recipe_is_the_recipe(tmp_path: Path, sections: dict[str, Any]) -> None:
    original = recipe(tmp_path, sections)
    loaded = load(original)
    (tmp_path / "shown.yaml").write_text(show_recipe(original), encoding="utf-8")
    assert load(str(tmp_path / "shown.yaml")) == loaded
    assert "say the same" in diff_recipes(original, str(tmp_path / "shown.yaml"))


WRONG = [
    (RECURRENT, {"model": {"kind": "recurrent", "heads": 4}}, "model.heads: unknown key (value 4)"),
    (
        RECURRENT,
        {"model": {"kind": "reccurent"}},
        "model.kind: there is no 'reccurent' here; did you mean recurrent?",
    ),
    (RECURRENT, {"export": {}}, "no class of transformers computes this model: none computes kind=recurrent"),
    (
        RECURRENT,
        {"pretrain": {"kind": "masked"}},
        "pretrain.kind=masked needs a network that supports bidirectional, and model.kind=recurrent",
    ),
    (
        RECURRENT,
        {"resources": {"training": {"parallel": {"workers": 2, "tensor": 2, "zero_stage": 1}}}},
        "model.kind=recurrent with resources.training.parallel.tensor=2: its matrices can't be cut; use tensor=1",
    ),
    (
        RECURRENT,
        {"gates": {"base": {"bounds": [{"metric": "base.val.masked_loss", "maximum": 1}]}}},
        "gates.base.bounds[0] names 'base.val.masked_loss', but that takes a network that supports bidirectional, and kind=recurrent does "
        "not; a split of it has bits_per_byte",
    ),
    (ENCODER, {"pretrain": {}}, "pretrain.kind=next_token needs a network that supports causal, and model.kind=encoder does not"),
    (
        ENCODER,
        {"pretrain": {"kind": "masked", "whole_words": True}},
        "pretrain.whole_words=true needs to know which tokens go on a word: set pack.words: true",
    ),
    (ENCODER, {"pack": {"words": True}}, "pack.words=true does nothing unless pretrain, of kind masked, has whole_words: true"),
    (ENCODER, {"tuning": [{"kind": "sft"}]}, "tuning[0].kind=sft needs a network that supports causal, and model.kind=encoder does not"),
    (
        ENCODER,
        {"evaluate": {"chat": {"questions": True}}},
        "evaluate.chat.questions needs a network that supports generation, and kind=encoder",
    ),
    (
        ENCODER,
        {"evaluate": {"base": {"copying": True}}},
        "evaluate.base.copying needs a network that supports generation, and kind=encoder",
    ),
    (ENCODER, {"evaluate": {"base": {"samples": 9}}}, "evaluate.base.samples needs a network that supports generation, and kind=encoder"),
    (
        ENCODER,
        {"evaluate": {"base": {"probes": [{"prompt": "The", "word": "cat"}]}}},
        "evaluate.base.probes needs a network that supports causal, and kind=encoder does not; leave evaluate.base.probes out",
    ),
    (
        ENCODER,
        {"gates": {**GATES, "release": {}}},
        "gates.release.bounds[0] names 'release.test.bits_per_byte', but that takes a network that supports causal, and kind=encoder does "
        "not; a split of it has masked_loss, masked_accuracy",
    ),
    (ENCODER, {"export": {"max_new_tokens": 9}}, "export.max_new_tokens=9 does nothing: kind=encoder writes no text"),
    (ENCODER, {"resources": {"training": {"sample_every": 5}}}, "sample_every=5 with model.kind=encoder, which writes no text"),
    (
        BOTH,
        {"pretrain": {"kind": "spans", "most_spans": 200}},
        "pretrain.most_spans=200 with model.sentinels=100: the last sentinel ends what is written; set most_spans=99, or more sentinels",
    ),
    (BOTH, {"pretrain": {}}, "pretrain.kind=next_token needs a network that supports causal, and model.kind=encoder_decoder does not"),
    (BOTH, {"tuning": [{"kind": "sft"}]}, "tuning[0].kind=sft needs a network that supports causal, and model.kind=encoder_decoder"),
    (RECURRENT, {"export": {}}, "no class of transformers computes this model: none computes kind=recurrent"),
    (BOTH, {"export": {"format": "folio"}}, "this one is a T5ForConditionalGeneration; set export.format: huggingface"),
    (
        ENCODER,
        {"model": {"kind": "encoder", "width": 64, "positions": "learned"}},
        "no class of transformers computes this model: EuroBertForMaskedLM lacks positions=learned",
    ),
    (
        BOTH,
        {"gates": {**BOTH["gates"], "base": {"bounds": [{"metric": "base.val.masked_loss", "maximum": 1}]}}},
        "kind=encoder_decoder does not; a split of it has span_loss, span_accuracy",
    ),
    (NGRAM, {"model": {"kind": "ngram", "width": 64}}, "model.width: unknown key (value 64)"),
    (NGRAM, {"model": {"kind": "ngram", "order": 9}}, "model.order: must be at most 8"),
    (
        NGRAM,
        {"model": {"kind": "ngram", "inputs": [{"kind": "tokens"}, {"kind": "vectors", "column": "a", "size": 2}]}},
        "counts tokens alone",
    ),
    (NGRAM, {"pretrain": {"tokens": 5}}, "pretrain.tokens=5 does nothing: model.kind=ngram counts the training rows, once"),
    (NGRAM, {"pretrain": {"kind": "masked"}}, "pretrain.kind=masked does nothing: model.kind=ngram"),
    (NGRAM, {"tuning": [{"kind": "sft"}]}, "tuning has a step of kind=sft, and model.kind=ngram is counted, so no step can train it"),
    (NGRAM, {"sft": {"steps": 5}}, "tuning has a step of kind=sft, and model.kind=ngram is counted"),
    (NGRAM, {"adapters": [{"kind": "sft", "name": "a"}]}, "adapters has a step of kind=sft, and model.kind=ngram is counted"),
    (NGRAM, {"quantize": {}}, "release.variants has one of kind=int8, and model.kind=ngram holds counts, which nothing rounds"),
    (NGRAM, {"export": {"format": "huggingface"}}, "no class of transformers computes this model: none computes kind=ngram"),
    (NGRAM, {"export": {"dtype": "bfloat16"}}, "export.dtype=bfloat16 does nothing: model.kind=ngram holds counts"),
    (NGRAM, {"resources": {"training": {"parallel": {"zero_stage": 2}}}}, "resources.training.parallel.zero_stage=2 with model.kind=ngram"),
    (NGRAM, {"resources": {"training": {"sample_every": 5}}}, "resources.training.sample_every=5 does nothing: model.kind=ngram"),
    (
        NGRAM,
        {"gates": {"base": {"bounds": [{"metric": "base.val.bits_per_byte", "beats": "baseline.ngram"}]}}},
        "gates.base.bounds[0] compares base.val.bits_per_byte with baseline.ngram, and model.kind=ngram is that count, so it would be "
        "compared with itself",
    ),
    (ENCODER, {"pretrain": {"kind": "masked", "copy_rows": 5}}, "pretrain.copy_rows: unknown key (value 5)"),
]


@pytest.mark.parametrize(("sections", "changes", "message"), WRONG, ids=[message[:60] for _, _, message in WRONG])
def test_what_a_kind_cannot_do_is_refused_by_name(tmp_path: Path, sections: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load(recipe(tmp_path, {**sections, **changes}))
    assert message in str(error.value)

"""The list of quantized variants in a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.recipe.loading import built_in, load
from flows.recipe.validation import RecipeError
from model.quantization.integers import Int4Config, Int8Config

SMALL = "{kind: int4, name: small}"


@pytest.mark.parametrize("name", [name for name in built_in() if not name.startswith(("arena", "handbook"))])  # these release none
def test_a_recipe_that_says_nothing_releases_one_int8_variant(name: str) -> None:
    assert load(name).release.variants == (Int8Config(name="int8", embeddings=True),)


def test_variants_are_released_in_the_order_of_the_list() -> None:
    assert load("universe", (f"release.variants=[{{kind: int8}}, {SMALL}]",)).release.variants == (Int8Config(), Int4Config(name="small"))
    assert load("universe", ("release.variants[0].embeddings=false",)).release.variants == (Int8Config(embeddings=False),)


def test_the_section_quantize_stands_for_one_int8_variant() -> None:
    short = load("universe", ("quantize.embeddings=false",))
    assert short == load("universe", ("release.variants=[{kind: int8, embeddings: false}]",))
    bound = "gates.release.bounds=[{metric: int4.test.bits_per_byte, maximum: 2}]"
    assert load("universe", ("quantize={kind: int4, group_size: 64}", bound)).release.variants == (Int4Config(group_size=64),)


WRONG = [
    (f"release.variants=[{{kind: int8}}, {SMALL}, {SMALL}]", "release.variants has 2 called 'small'; give each a name of its own"),
    ("release.variants=[{kind: int8}, {kind: int8, embeddings: false}]", "release.variants has 2 called 'int8'"),
    ("release.variants=[{kind: int8}, {kind: int4, name: tokenizer}]", "called 'tokenizer', a name that the flow itself uses"),
    ("release.variants=[{kind: int8, group_size: 32}]", "release.variants.0.int8.group_size: unknown key (value 32); known keys here"),
    ("release.variants=[{kind: int4, group_sise: 32}]", "group_sise: unknown key (value 32); did you mean group_size?"),
    ("release.variants=[{kind: int3}]", "release.variants.0.kind: there is no 'int3' here; did you mean int8 or int4?"),
    ("release.variants=[{name: int8}]", "release.variants.0: no kind"),
    ("release.variants=[{kind: int8, name: ../x}]", "name: takes small letters, digits"),
    (f"release.variants=[{SMALL}]", "names 'int8.questions.heldout', but what is measured there is release and release.variants (small)"),
    ("release.variants=[{kind: gptq, group_size: 48}]", "group_size=48 does not divide width="),
    ("release.variants=[{kind: int8, most_kl: -1}]", "most_kl"),
    ("release.variants=[]", "release.variants (none); change the bound, or add the variant"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[change for change, _ in WRONG])
def test_a_list_that_cannot_be_released_is_refused_by_name(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("universe", (change,))
    assert message in str(error.value)


def test_the_short_and_the_long_form_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: universe\nquantize: {embeddings: false}\nrelease: {variants: [{kind: int8}]}\n")
    with pytest.raises(RecipeError, match=r"quantize stands for release\.variants .* keep release\.variants"):
        load(str(tmp_path / "mine.yaml"))


def test_a_form_that_the_model_or_its_tokenizer_cannot_take_is_refused_before_a_run() -> None:
    none_bounded = "gates.release.bounds=[{metric: release.test.bits_per_byte, beats: baseline.ngram}]"
    for changes, message in (
        (("release.variants=[{kind: gguf}]", "tokenizer.kind=unigram"), "llama.cpp splits text otherwise than tokenizer.kind=unigram"),
        (("release.variants=[{kind: gguf}]", "model.pattern=sliding", "model.window=8"), "pattern=sliding with window=8"),
        (("release.variants=[]", "evaluate.variants.rows=3"), "evaluate.variants does nothing while release.variants is empty"),
    ):
        with pytest.raises(RecipeError) as error:
            load("universe", (*changes, none_bounded))
        assert message in str(error.value)


def test_what_must_hold_of_a_form_is_its_own() -> None:
    recipe = load("universe", ("release.variants=[{kind: int8, most_bits_per_byte: 1.01}, {kind: int4, most_kl: 0.2}]",))
    bounds = [{bound.metric: bound.maximum for bound in recipe.fidelity_of(variant).bounds} for variant in recipe.release.variants]
    assert bounds == [{"bits_per_byte_ratio": 1.01, "kl": 0.5}, {"bits_per_byte_ratio": 1.1, "kl": 0.2}]

"""Names of people, found by pipelines of spaCy that are trained and written here."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.pipeline import EntityRecognizer, EntityRuler
from spacy.training import Example
from thinc.api import fix_random_seed

from data.filtering.config import FilterConfig, PiiConfig
from data.filtering.observed_files import FileChanged, NameModelError, ObservedFiles, observed_digests
from data.filtering.pii.confusion import confusion, labelled
from data.filtering.pii.kinds import enabled_kinds
from data.filtering.pii.names import LONGEST, load_names, paragraphs
from data.filtering.pii.redact import redact
from data.universe.world import MEN, TOWNS, WOMEN
from tests.data.filtering.filter_runner import run

PEOPLE, KNOWN = WOMEN + MEN, 40
TAUGHT = ("{who} went to {town}.", "In {town} lived {who} with a cat.", "Then {who} said no.", "The road to {town} is long.", "Ask {who}!")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's root with a pipeline in models/names that learned names from a few hundred sentences."""
    root = tmp_path_factory.mktemp("root")
    pipeline, draw = spacy.blank("en"), random.Random(1)
    fix_random_seed(1)
    recognizer = pipeline.add_pipe("ner")
    assert isinstance(recognizer, EntityRecognizer)
    recognizer.add_label("PERSON")
    examples = []
    for number in range(200):
        who, town = draw.choice(PEOPLE[:KNOWN]), draw.choice(TOWNS)
        text = TAUGHT[number % len(TAUGHT)].format(who=who, town=town)
        start = text.find(who) if "{who}" in TAUGHT[number % len(TAUGHT)] else -1
        entities = [(start, start + len(who), "PERSON")] if start >= 0 else []
        examples.append(Example.from_dict(pipeline.make_doc(text), {"entities": entities}))
    pipeline.initialize(lambda: examples)
    for _ in range(6):
        draw.shuffle(examples)
        for at in range(0, len(examples), 20):
            pipeline.update(examples[at : at + 20], drop=0.1)
    (root / "models").mkdir()
    pipeline.to_disk(root / "models" / "names")
    return root


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's root with a pipeline in models/names that takes every word for a person."""
    root = tmp_path_factory.mktemp("root")
    pipeline = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    ruler = pipeline.add_pipe("entity_ruler")
    assert isinstance(ruler, EntityRuler)
    ruler.add_patterns([{"label": "PER", "pattern": [{"TEXT": {"REGEX": "."}}]}])
    (root / "models").mkdir()
    pipeline.to_disk(root / "models" / "names")
    return root


def looking(model: str = "models/names", **settings: Any) -> PiiConfig:
    """Look for names alone."""
    others = dict.fromkeys(("secret", "email", "iban", "card", "identity", "ip", "phone"), "off")
    return PiiConfig.model_validate({**others, "enabled": True, "name": "redact", "name_model": model, **settings})


def redacted(root: Path, text: str, config: PiiConfig) -> str:
    """Return the text without its personal data."""
    return redact(text, config, enabled_kinds(config, load_names(config, ObservedFiles(root))))[0]


def test_names_are_replaced_and_the_rest_stays(trained: Path, tmp_path: Path) -> None:
    first, second = PEOPLE[0], PEOPLE[1]
    text = f"{first} went to {TOWNS[0]}.\n\nThen {second} said no."
    done = run(tmp_path, {"a": text, "b": "The road is long."}, {"pii": {"name": "redact", "name_model": "models/names"}}, root=trained)
    assert done.texts == {"a": f"<NAME> went to {TOWNS[0]}.\n\nThen <NAME> said no.", "b": "The road is long."}
    assert done.metrics["redacted_name"] == 2
    assert [row["before"] for row in done.table("edits")] == [f"name of a person, {len(name)} characters" for name in (first, second)]


def test_a_document_that_names_too_many_is_removed(trained: Path, tmp_path: Path) -> None:
    texts = {"a": f"Then {PEOPLE[0]} said no.", "b": f"Then {PEOPLE[1]} said no. Ask {PEOPLE[2]}!"}
    config = {"pii": {"name": "drop", "drop_above": 1, "name_model": "models/names"}}
    done = run(tmp_path, texts, config, root=trained)
    assert done.texts == {"a": "Then <NAME> said no."} and done.fates()["b"] == ("pii name", "name 2 > 1")


def test_other_kinds_are_found_first(trained: Path) -> None:
    who = PEOPLE[0]
    assert redacted(trained, f"Ask {who}! Write to {who}@mill.org.", looking(email="redact")) == "Ask <NAME>! Write to <EMAIL>."


def test_tags_are_nobody_and_redacting_again_changes_nothing(everybody: Path) -> None:
    config = looking(email="redact")
    once = redacted(everybody, "Ann wrote to bob@mill.org, at noon.\n\nNobody answered.", config)
    assert once == "<NAME> <NAME> <NAME> <EMAIL><NAME> <NAME> <NAME><NAME>\n\n<NAME> <NAME><NAME>"
    assert redacted(everybody, once, config) == once


def test_the_matrix_says_how_well_names_are_found(trained: Path) -> None:
    config = looking()
    matrix = confusion(config, labelled(40, 1), load_names(config, ObservedFiles(trained)))
    assert matrix["name"]["name"] > 10 and sum(matrix["name"].values()) == 40


@given(st.text("ab \n", max_size=400), st.integers(0, 3))
def test_paragraphs_hold_everything_but_white_space_once(text: str, longer: int) -> None:
    text = text + "word " * (longer * 1_500) + text
    last, parts = 0, list(paragraphs(text))
    for start, part in parts:
        assert text[start : start + len(part)] == part and len(part) <= LONGEST and not text[last:start].strip()
        last = start + len(part)
    assert not text[last:].strip()


def test_a_long_paragraph_is_cut_between_words() -> None:
    parts = [part for _, part in paragraphs("word " * 3_000)]
    assert len(parts) == 3 and {word for part in parts for word in part.split()} == {"word"}
    assert [len(part) for _, part in paragraphs("a" * (LONGEST + 1))] == [LONGEST, 1]


def test_every_file_of_the_pipeline_counts_in_the_key(trained: Path) -> None:
    config = FilterConfig(pii=looking())
    digests = observed_digests(config, trained, None, lambda paths: {path: path.name for path in paths})
    assert {"models/names/config.cfg", "models/names/ner/model", "models/names/vocab/strings.json"} <= set(digests)
    assert observed_digests(FilterConfig(), trained, None, lambda paths: dict.fromkeys(paths, "")) == {}


def test_a_pipeline_that_changed_during_the_run_is_not_used(trained: Path) -> None:
    config = FilterConfig(pii=looking())
    observed = observed_digests(config, trained, None, lambda paths: dict.fromkeys(paths, "another"))
    with pytest.raises(FileChanged, match=r"models/names/.* changed during the run"):
        load_names(config.pii, ObservedFiles(trained, observed))


def test_a_package_is_read_and_its_code_does_not_run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "names_of_the_mill"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (trained / "models" / "names").rename(package / "names_of_the_mill-1.0")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert redacted(tmp_path, f"Then {PEOPLE[0]} said no.", looking("names_of_the_mill")) == "Then <NAME> said no."
    finally:
        (package / "names_of_the_mill-1.0").rename(trained / "models" / "names")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "en_core_web_nowhere"}, "python -m spacy download en_core_web_nowhere"),
        ({"model": "json"}, "no installed package json holds a pipeline"),
        ({"model": "models/nowhere"}, "has no config.cfg"),
        ({"name_labels": ["GOD"]}, "labels PERSON, and pii.name_labels are GOD"),
    ],
)
def test_a_model_that_cannot_find_names_is_refused_before_the_run(trained: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(NameModelError, match=said):
        observed_digests(FilterConfig(pii=looking(**settings)), trained, None, lambda paths: dict.fromkeys(paths, ""))


@pytest.mark.parametrize(
    "described", ["{", "[]", '{"labels": ["ner"]}', '{"labels": {"ner": null}}', '{"labels": {"nowhere": ["PERSON"]}}']
)
def test_a_damaged_pipeline_is_refused_by_its_folder(trained: Path, tmp_path: Path, described: str) -> None:
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "config.cfg").write_text((trained / "models/names/config.cfg").read_text())
    (tmp_path / "names" / "meta.json").write_text(described)
    with pytest.raises(NameModelError, match="is no pipeline of spaCy"):
        load_names(looking("./names"), ObservedFiles(tmp_path))

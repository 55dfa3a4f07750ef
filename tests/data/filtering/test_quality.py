"""The quality classifier: it learns, reports how well, is reproducible, and is refused when useless."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from data.filtering.config import ClassifierConfig, QualityConfig
from data.filtering.observed_files import ExampleError, FileChanged, ObservedFiles, chunks, example_digests
from data.filtering.quality import UselessClassifier, load_scorer, train
from tests.data.filtering.filter_runner import run

GOOD = ["river", "mill", "bridge", "children", "summer", "stone", "village", "water", "quiet", "morning"]
BAD = ["click", "buy", "cheap", "now", "offer", "deal", "subscribe", "winner", "cash", "bonus"]
BOTH = ["the", "and", "of", "to", "in", "it", "was", "that", "for", "on"]


def text(words: list[str], seed: int) -> str:
    random = Random(f"{words[0]}:{seed}")
    return " ".join(random.choice(words if random.random() < 0.4 else BOTH) for _ in range(120))


def write_examples(folder: Path, good: list[str] = GOOD, bad: list[str] = BAD, count: int = 12) -> ClassifierConfig:
    """Write examples: good ones in a file each, bad ones as lines of one file."""
    (folder / "good").mkdir(parents=True)
    for number in range(count):
        (folder / "good" / f"{number}.txt").write_text(text(good, number))
    (folder / "bad.jsonl").write_text("\n".join(json.dumps({"text": text(bad, 100 + number)}) for number in range(count)))
    return ClassifierConfig(positive=("good",), negative=("bad.jsonl",), features_log2=12, folds=3, chunk=300)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClassifierConfig, Path, dict[str, float]]:
    folder = tmp_path_factory.mktemp("quality")
    config = write_examples(folder / "root")
    return config, folder, train(config, ObservedFiles(folder / "root"), folder / "out")


def test_the_classifier_learns_and_is_measured_on_unseen_texts(trained: Any) -> None:
    _, folder, metrics = trained
    assert metrics["auc"] > 0.95 and metrics["accuracy"] > 0.9 and (metrics["positives"], metrics["negatives"]) == (12, 12)
    assert metrics["pieces"] > 24
    better, worse = load_scorer(folder / "out")([text(GOOD, 1000), text(BAD, 1001)])
    assert better > 0.6 > 0.4 > worse
    assert json.loads((folder / "out" / "classifier.json").read_text())["metrics"] == metrics


def test_equal_examples_give_equal_bytes(trained: Any, tmp_path: Path) -> None:
    config, folder, _ = trained
    train(config, ObservedFiles(folder / "root"), tmp_path)
    for name in ("classifier.safetensors", "classifier.json"):
        assert (tmp_path / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_documents_are_labelled_and_those_below_the_threshold_removed(trained: Any, tmp_path: Path) -> None:
    config, folder, _ = trained
    texts = {"a": text(GOOD, 2000), "b": text(BAD, 2001)}
    keys = {"positive": config.positive, "negative": config.negative, "threshold": 0.5}
    done = run(tmp_path, texts, {"quality": keys}, classifier=folder / "out")
    (expected,) = load_scorer(folder / "out")([texts["a"]])
    assert set(done.texts) == {"a"} and done.metadata["a"]["quality"] == round(expected, 4)
    rule, detail = done.fates()["b"]
    assert rule == "quality" and detail.startswith("quality 0.") and detail.endswith(" < 0.5")


def test_a_long_document_is_scored_by_chunks_of_all_of_it(trained: Any) -> None:
    _, folder, _ = trained
    ask = load_scorer(folder / "out")
    mixed = " ".join([text(GOOD, 1)] * 50 + [text(BAD, 2)] * 50)
    ((good,), (bad,), (both,)) = (ask([given]) for given in (text(GOOD, 1), text(BAD, 2), mixed))
    assert bad < both < good and abs(both - (good + bad) / 2) < 0.1
    assert ask([]) == [] and ask([""])[0] < 1
    assert "".join(chunks("abcdefgh", 3, 9)) == "abcdefgh" and chunks("abcdefgh", 2, 2) == ["bc", "ef"]


def test_a_useless_classifier_is_refused(tmp_path: Path) -> None:
    config = write_examples(tmp_path / "root", BOTH, BOTH)
    with pytest.raises(UselessClassifier, match=r"has an AUC of 0\.\d+, below minimum_auc=0.8; .* \(it had 12 good and 12 bad texts\)"):
        train(config, ObservedFiles(tmp_path / "root"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_few_examples_a_file_on_both_sides_and_files_without_text_are_named(tmp_path: Path) -> None:
    config = write_examples(tmp_path / "root", count=2)
    with pytest.raises(ExampleError, match=r"negative has 2 texts, fewer than folds=3"):
        train(config, ObservedFiles(tmp_path / "root"), tmp_path / "out")
    with pytest.raises(ExampleError, match=r"bad.jsonl is both a positive and a negative"):
        train(config.model_copy(update={"positive": ("bad.jsonl",)}), ObservedFiles(tmp_path / "root"), tmp_path / "out")
    for content, named in ((b"\x00\x01\x02" * 99, "can't be an example: binary"), (b'{"txt": 1}', "bad.jsonl, line 1: not a JSON object")):
        (tmp_path / "root" / "bad.jsonl").write_bytes(content)
        with pytest.raises(ExampleError, match=named):
            train(config, ObservedFiles(tmp_path / "root"), tmp_path / "out")


def test_the_examples_are_part_of_the_key_and_must_not_change(tmp_path: Path) -> None:
    config = write_examples(tmp_path, count=3)
    state = example_digests(config, tmp_path, None, lambda paths: {path: path.name for path in paths})
    assert state == {"negative/bad.jsonl": "bad.jsonl", **{f"positive/good/{n}.txt": f"{n}.txt" for n in range(3)}}
    with pytest.raises(FileChanged, match=r"negative/bad.jsonl changed"):
        train(config, ObservedFiles(tmp_path, state), tmp_path / "out")


def test_a_threshold_trains_nothing_again_and_a_classifier_needs_examples() -> None:
    named = {"enabled": True, "positive": ("a",), "negative": ("b",)}
    assert QualityConfig.model_validate(named).training == QualityConfig.model_validate({**named, "threshold": 0.9}).training
    with pytest.raises(ValidationError, match=r"quality.enabled=true needs examples"):
        QualityConfig(enabled=True, positive=("a",))

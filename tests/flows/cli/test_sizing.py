"""`folio size` proposes a command that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.sizing import SizeRequest, corpus_text, size_recipe
from flows.recipe.loading import load
from tasks.stage.store.store import Store
from tests.tasks.lineage.corpus_store import Corpus

SHORT = "name: mine\ningest: {sources: [{kind: files, name: mine, paths: [books]}]}\n"


def test_the_command_names_the_recipe_so_that_it_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    (tmp_path / "recipe.yaml").write_text(SHORT, encoding="utf-8")
    proposed = size_recipe(str(tmp_path), (), SizeRequest(device="h100", text_bytes=1e6))
    assert f"folio run {tmp_path / 'recipe.yaml'} \\" in proposed


@pytest.mark.parametrize(("parameters", "fits"), [(2e9, False), (1e6, True)])
def test_what_does_not_fit_is_not_said_to_fit_and_gets_no_command(
    parameters: float, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    (tmp_path / "recipe.yaml").write_text(SHORT, encoding="utf-8")
    said = size_recipe(str(tmp_path), (), SizeRequest(device="t4", text_bytes=1e9, parameters=parameters))
    assert ("would fit" in said) == fits == ("folio run" in said) and ("does not fit" in said) != fits


@pytest.mark.parametrize("devices", [1, 3, 8, 64, 1024, 100_000])
def test_what_is_proposed_for_any_number_of_devices_is_a_recipe_that_loads(
    devices: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    (tmp_path / "recipe.yaml").write_text(SHORT + "pretrain: {warmup_steps: 100}\n", encoding="utf-8")
    said = size_recipe(str(tmp_path), (), SizeRequest(device="h100", devices=devices, text_bytes=1e6))
    changes = [
        word
        for line in said.splitlines()
        if "--set" in line
        for word in line.strip(" \\").split(" ")
        if "=" in word and word != "rates.gpu_hour=PRICE"
    ]
    assert load(str(tmp_path), tuple(changes)).resources.training.parallel.workers == devices
    assert ("steps teach" in said or "step teaches" in said) == (devices > 8)


def test_the_text_of_the_newest_corpus_is_that_of_all_its_shards(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(SHORT, encoding="utf-8")
    corpus = Corpus(Store(str(tmp_path / "store"), tmp_path / "cache"), "mine")
    corpus.texts = {}
    for number, characters in enumerate((1500.0, 500.0)):
        corpus.commit(f"split[{number}]", {"train.txt": str(number)}, metrics={"characters_train": characters})
    corpus.commit("audit", {"metrics.json": "{}"}, corpus.splits())
    recipe = load(str(tmp_path)).model_copy(update={"store": str(tmp_path / "store"), "tracking": "none"})
    found = corpus_text(recipe, None, "mine")
    assert found.bytes == 2000 and corpus.made["audit"].name in found.source

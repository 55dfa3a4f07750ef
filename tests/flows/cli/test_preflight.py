"""What this machine can't do is said before a run starts, by `folio plan` as by `folio run`: one line each, with key, value and way out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from flows.cli import preflight
from flows.cli import preflight as disk_space
from flows.cli.planning import walk
from flows.cli.preflight import free_bytes, machine_problems, require_machine, require_space, space_line
from flows.recipe.loading import load
from flows.recipe.validation import RecipeError
from flows.services.home import unwritable
from model.networks.config import DecoderConfig
from model.networks.directory import save_model
from model.quantization.config import OnnxConfig

NO_CARD = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
LORA = "tuning=[{kind: sft, adapter: {kind: lora, targets: [querry]}}]"
HOSTS = ("resources.training.parallel.workers=4", "resources.training.parallel.nodes=2", "resources.training.parallel.launcher=hostfile")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that does not exist yet."""
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))


LATE = [
    pytest.param(("pretrain.precision=fp8",), "pretrain.precision=fp8 needs a card that multiplies in eight bits", marks=NO_CARD),
    pytest.param(("dpo.precision=fp8",), "tuning[1].precision=fp8 needs a card that multiplies in eight bits", marks=NO_CARD),
    pytest.param(("resources.training.deterministic=true",), "deterministic=true is for NVIDIA cards, and this machine", marks=NO_CARD),
    pytest.param(("resources.training.tf32=true",), "tf32=true needs an NVIDIA card, and this machine has none", marks=NO_CARD),
    (("store=/dev/null/store",), "store=/dev/null/store can't be a folder: /dev/null is a file; make it writable, or name another folder"),
    (
        ("resources.training.keep_in=/dev/null/kept", "resources.training.keep_best=true"),
        "resources.training.keep_in=/dev/null/kept can't be a folder",
    ),
    ((LORA,), "tuning[0].adapter.targets names 'querry'; the linear layers inside the blocks are "),
    (
        (*HOSTS, "pretrain.global_batch=4", "sft.global_batch=4", "dpo.global_batch=4", "resources.training.parallel.hostfile=/nowhere"),
        "resources.training.parallel.hostfile=/nowhere can't be read",
    ),
    (("pretrain.initial=nowhere",), "pretrain.initial=nowhere: "),
]


@pytest.mark.parametrize(("changes", "message"), LATE)
def test_what_would_fail_late_on_this_machine_is_refused_before_the_start(changes: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        require_machine(load("four_books", changes))
    assert str(error.value).startswith("four_books can't run on this machine:\n  ")
    assert message in str(error.value)


@NO_CARD
def test_what_only_a_card_can_do_is_left_to_the_work_pool_that_trains() -> None:
    changes = ("resources.training.deterministic=true", "resources.pools.pretrain=cards")
    assert not any("deterministic" in line for line in machine_problems(load("four_books", changes)))


def test_a_recipe_that_this_machine_can_run_has_no_problem() -> None:
    assert not list(machine_problems(load("universe")))


def test_a_model_to_start_from_of_another_shape_is_named_with_both_values(tmp_path: Path) -> None:
    save_model(DecoderConfig(width=64, layers=1, heads=2, kv_heads=1, context=64).build(300), tmp_path / "model")
    problems = list(machine_problems(load("four_books", (f"pretrain.initial={tmp_path / 'model'}",))))
    assert any(
        line.startswith("model.width=32, and pretrain.initial=") and "has 64; give model.width that value" in line for line in problems
    )


def test_a_driver_of_an_object_store_that_is_not_installed_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(preflight.DRIVERS, "s3", "no_such_driver")
    digest = "0" * 64
    changes = (f"ingest.sources=[{{kind: remote, name: far, url: 's3://bucket/books.zip', sha256: '{digest}'}}]",)
    assert "ingest.sources[0].url=s3://bucket/books.zip needs no_such_driver, which is not installed: pip install -e '.[s3]'" in list(
        machine_problems(load("four_books", changes))
    )


def test_a_missing_driver_is_named_for_what_a_manifest_lists_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(preflight.DRIVERS, "s3", "no_such_driver")
    listed = tmp_path / "books.tsv"
    listed.write_text("".join(f"{url}\t{'0' * 64}\n" for url in ("https://host/a.txt", "s3://bucket/b.txt", "s3://bucket/c.txt")))
    changes = (f"ingest.sources=[{{kind: manifest, manifest: {listed}}}]",)
    assert list(machine_problems(load("four_books", changes))) == [
        f"ingest.sources[0].manifest={listed}: s3://bucket/b.txt needs no_such_driver, which is not installed: pip install -e '.[s3]'"
    ]


@pytest.mark.parametrize(("scheme", "extra"), [("gcs", "gs"), ("abfs", "az"), ("s3a", "s3")])
def test_another_name_of_a_store_needs_the_same_driver_and_extra(scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(preflight.DRIVERS, extra, "no_such_driver")
    changes = (f"ingest.sources=[{{kind: remote, name: far, url: '{scheme}://bucket/books.zip', sha256: '{'0' * 64}'}}]",)
    (problem,) = machine_problems(load("four_books", changes))
    assert problem.endswith(f"needs no_such_driver, which is not installed: pip install -e '.[{extra}]'")


def test_a_manifest_that_is_missing_is_named_before_the_start(tmp_path: Path) -> None:
    (problem,) = machine_problems(load("four_books", (f"ingest.sources=[{{kind: manifest, manifest: {tmp_path}/none.tsv}}]",)))
    assert problem.startswith("ingest.sources[0].manifest: source 'none.tsv'") and "can't be read" in problem


def test_a_library_of_a_form_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxConfig, "LIBRARIES", {"no_such_runtime": "onnx"})
    changes = ("release.variants=[{kind: onnx}]", "gates.release.bounds=[{metric: release.test.bits_per_byte, maximum: 9}]")
    assert (
        "release.variants[0] is of kind onnx and needs no_such_runtime, which is not installed: pip install -e '.[onnx]', or leave the "
        "variant out"
    ) in list(machine_problems(load("universe", changes)))


def test_a_read_only_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert unwritable(tmp_path / "new" / "store") == f"can't be written: {tmp_path} is read-only for this user"
    assert unwritable(tmp_path.parent) == ""


def test_a_disk_that_is_too_small_is_refused_with_what_is_needed_and_a_plan_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load("four_books", ("resources.training.keep_last=3",))
    require_space(recipe)
    plan = walk(recipe)
    assert space_line(plan, 0.0) == ""
    room = free_bytes(plan.store)
    assert room is not None
    monkeypatch.setattr(disk_space, "free_bytes", lambda store: 60_000)
    with pytest.raises(RecipeError, match=r"store=.*: 60 kB are free, and this run is expected to write .* MB\. Free space \(folio gc"):
        require_space(recipe)
    assert "so it would stop" in space_line(plan, 0.0)
    monkeypatch.setattr(disk_space, "free_bytes", lambda store: 80_000_000)
    assert "which is near" in space_line(plan, 0.0)


def test_names_of_people_are_refused_before_the_start_where_nothing_runs_their_model(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "spacy" else find(name, *rest))
    recipe = load("four_books", ("filter.pii={enabled: true, name: redact, name_model: en_core_web_sm}",))
    assert "filter.pii.name=redact needs spacy, which is not installed: pip install -e '.[names]'" in "\n".join(machine_problems(recipe))

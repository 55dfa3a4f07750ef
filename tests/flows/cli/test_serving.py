"""`folio serve`: which models it finds, what it says of them, and which keys it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli import serving
from flows.cli.chat_models import find_model
from flows.cli.serving import find_served, require_readers, said_of, serve_models
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import save_model
from model.serving.guard import KEY, read_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(Decoder(DecoderConfig(width=32, layers=1, heads=4, context=32), 50), tmp_path / "mine")
    save_model(Decoder(DecoderConfig(width=32, layers=1, heads=4, context=32), 50), tmp_path / "mine" / "small")
    return tmp_path / "mine"


def test_a_model_is_a_folder_a_form_of_it_or_a_gguf_file(folder: Path) -> None:
    assert find_model(str(folder)) == folder and find_model(f"{folder}:small") == folder / "small"
    (folder / "x.gguf").write_bytes(b"GGUF")
    assert find_model(str(folder / "x.gguf")) == folder / "x.gguf"
    with pytest.raises(LookupError, match=r"y\.gguf is not a file; did you mean x\.gguf"):
        find_model(str(folder / "y.gguf"))
    with pytest.raises(LookupError, match="has no variant 'tiny'; it has small"):
        find_model(f"{folder}:tiny")


def test_a_model_brings_the_adapters_beside_it_and_one_may_be_named_alone(folder: Path) -> None:
    for name in ("soft", "low"):
        (folder / "adapters" / name).mkdir(parents=True)
        (folder / "adapters" / name / "adapter_config.json").write_text("{}")
    low, soft = folder / "adapters" / "low", folder / "adapters" / "soft"
    assert find_served([str(folder)]) == {folder: {"mine": None, "mine:low": low, "mine:soft": soft}}
    assert find_served([f"{folder}:soft"]) == {folder: {"mine:soft": soft}}
    assert find_served([f"{folder}:soft", str(folder)]) == {folder: {"mine:soft": soft, "mine": None, "mine:low": low}}
    assert find_served([str(folder)], every_adapter=False) == {folder: {"mine": None}}
    assert find_served([f"{folder}:small"]) == {folder / "small": {f"{folder}:small": None}}
    with pytest.raises(LookupError, match="has neither a variant nor an adapter 'tiny'; its adapters are low, soft"):
        find_served([f"{folder}:tiny"])
    (folder.parent / "other" / "mine").mkdir(parents=True)
    (folder.parent / "other" / "mine" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="two models would be called mine"):
        find_served([str(folder), str(folder.parent / "other" / "mine")])
    first, _, third, *_ = said_of(folder, soft)
    assert "decoder" in first and f"with the adapter in {soft}" in third


def test_what_is_said_of_a_model_without_a_record_is_its_size_and_place(folder: Path) -> None:
    first, second, third = said_of(folder)
    assert "decoder" in first and str(folder) in second and "unknown making" in third


def test_a_key_comes_from_a_file_or_the_environment_and_is_long_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    assert read_key(None) is None
    monkeypatch.setenv(KEY, "short")
    with pytest.raises(ValueError, match="FOLIO_SERVE_KEY must hold a key of 16 or more"):
        read_key(None)
    (tmp_path / "key").write_text(f"{'a' * 32}\n")
    assert read_key(tmp_path / "key") == "a" * 32
    with pytest.raises(ValueError, match="No such file"):
        read_key(tmp_path / "none")


@pytest.mark.parametrize("name", ["pictures", "picture_bytes", "recordings", "recording_bytes"])
def test_limits_of_pictures_and_recordings_are_refused_where_no_model_reads_any(name: str) -> None:
    medium = "pictures" if name.startswith("picture") else "sounds"
    require_readers({name: 3}, ["words", "reads"], [None, medium])
    require_readers({name: 0, "rows": 4}, ["words"], [None])
    with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} 3 does nothing: no model served here reads {medium} .words."):
        require_readers({name: 3}, ["words"], [None])


def test_a_limit_that_does_nothing_is_refused_before_a_model_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "open_together", lambda *_, **__: pytest.fail("a model was opened"))
    with pytest.raises(ValueError, match="--recordings 2 does nothing: no model served here reads sounds"):
        serve_models([str(folder)], "127.0.0.1", 0, None, {"recordings": 2}, threads=1, draft=None, backend="auto", store="")

"""The fingerprint of a model: it differs where replies may."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.inference.open_model import fingerprint
from tests.tasks.records import written

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "adapter/adapter_model.safetensors": b"adapter",
    "tokenizer.json": b"words",
    "tokenizer_config.json": b"names",
    "chat_template.jinja": b"template",
    "token_roles.json": b"roles",
}


@pytest.mark.parametrize("name", FILES)
def test_a_model_of_which_one_file_differs_is_another(name: str, tmp_path: Path) -> None:
    model, other = written(tmp_path / "a", FILES), written(tmp_path / "b", FILES | {name: b"other"})
    assert fingerprint(model) != fingerprint(other)
    (other / name).write_bytes(FILES[name])
    (other / "README.md").write_bytes(b"words for people")
    assert fingerprint(model) == fingerprint(other)


def test_a_form_of_a_release_is_another_with_another_template_of_the_release(tmp_path: Path) -> None:
    written(tmp_path, {name: FILES[name] for name in ("tokenizer.json", "chat_template.jinja")} | {"int8/config.json": b"{}"})
    before = fingerprint(tmp_path / "int8")
    (tmp_path / "chat_template.jinja").write_bytes(b"other")
    assert fingerprint(tmp_path / "int8") != before


def test_two_gguf_files_of_a_folder_are_two_models_and_neither_follows_from_the_other(tmp_path: Path) -> None:
    written(tmp_path, {"a.gguf": b"one", "b.gguf": b"two", "config.json": b"{}"})
    first, second = fingerprint(tmp_path / "a.gguf"), fingerprint(tmp_path / "b.gguf")
    assert first != second
    (tmp_path / "b.gguf").write_bytes(b"three")
    assert fingerprint(tmp_path / "a.gguf") == first and fingerprint(tmp_path / "b.gguf") != second

"""`folio push`: what would be sent, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.pushing import PushError, push_model
from tasks.stage.store.artifact import RECORD
from tests.tasks.records import artifact, written

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "q4/model-Q4_0.gguf": b"small", "logs/time.txt": b"now"}


@pytest.fixture
def released(tmp_path: Path) -> Path:
    folder = written(tmp_path / "model", FILES)
    (folder / RECORD).write_bytes(artifact(folder, stage="export", name="books").sealed())
    return folder


def test_nothing_is_sent_unless_asked(released: Path, tmp_path: Path) -> None:
    report = push_model(str(released), str(tmp_path / "there"), send=False, public=False)
    assert "q4/model-Q4_0.gguf" in report and "Nothing was sent. With --send, 3 files" in report and not (tmp_path / "there").exists()
    assert "me/books, which is made private if it does not exist" in push_model(str(released), "me/books", send=False, public=False)


def test_a_folder_gets_the_model_and_neither_record_nor_logs(released: Path, tmp_path: Path) -> None:
    assert "Sent 3 files" in push_model(str(released), str(tmp_path / "there"), send=True, public=False)
    sent = {path.relative_to(tmp_path / "there").as_posix() for path in (tmp_path / "there").rglob("*") if path.is_file()}
    assert sent == {"config.json", "model.safetensors", "q4/model-Q4_0.gguf"}
    with pytest.raises(PushError, match="is not empty"):
        push_model(str(released), str(tmp_path / "there"), send=True, public=False)


def test_a_model_that_is_not_what_its_record_says_is_not_sent(released: Path, tmp_path: Path) -> None:
    (released / "model.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(PushError, match=r"model\.safetensors is missing or not what its record says"):
        push_model(str(released), str(tmp_path / "there"), send=True, public=False)
    (released / RECORD).unlink()
    with pytest.raises(PushError, match="no record of folio's"):
        push_model(str(released), str(tmp_path / "there"), send=True, public=False)


def test_a_hub_that_does_not_answer_and_a_name_that_is_none_are_said_in_a_sentence(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PushError, match="did not take me/books"):
        push_model(str(released), "me/books", send=True, public=False)
    with pytest.raises(PushError, match="is not a repository"):
        push_model(str(released), "one/two/three", send=True, public=False)

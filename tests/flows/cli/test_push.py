"""`folio push`: what would be sent, and where."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.cli.chat_models import model_directory
from flows.cli.pushing import PushError, push_model
from tasks.stage.execution.approving import record_answer
from tasks.stage.store.artifact import RECORD, Artifact
from tasks.stage.store.store import Store
from tests.tasks.records import artifact, committed, written

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "q4/model-Q4_0.gguf": b"small", "logs/time.txt": b"now"}


@pytest.fixture(autouse=True)
def _empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))


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


def judged(store: Store, **metrics: float) -> tuple[Artifact, Artifact]:
    """An export in a store, and the verdict of its release gate."""
    exported = committed(store, FILES, stage="export", label="books")
    given = {"release": exported.reference()}
    return exported, committed(store, {"verdict.json": b"{}"}, stage="gate", label="books", inputs=given, metrics=metrics)


def test_a_folder_in_a_store_is_sent_only_if_its_release_gate_passed_or_was_overruled(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "home" / "store"), tmp_path / "cache")
    exported = committed(store, FILES, stage="export", label="books")
    folder = str(store.local(exported))
    with pytest.raises(PushError, match="is not released, so nothing is sent: no release gate has judged it; run its recipe"):
        push_model(folder, str(tmp_path / "there"), send=True, public=False)
    judged(store, passed=0.0, overruled=0.0)
    with pytest.raises(PushError, match=r"it did not pass its release gate; gates\.release\.overrule"):
        push_model(folder, str(tmp_path / "there"), send=True, public=False)
    copied = shutil.copytree(folder, tmp_path / "copied")
    with pytest.raises(PushError, match="it did not pass its release gate"):
        push_model(str(copied), str(tmp_path / "there"), send=True, public=False)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("metrics", [{"passed": 1.0, "overruled": 0.0}, {"passed": 0.0, "overruled": 1.0}])
def test_a_released_folder_of_a_store_is_sent(metrics: dict[str, float], tmp_path: Path) -> None:
    store = Store(str(tmp_path / "elsewhere"), tmp_path / "cache")
    exported, _ = judged(store, **metrics)
    report = push_model(str(store.local(exported)), str(tmp_path / "there"), send=True, public=False)
    assert "Sent 3 files" in report and "not known here" not in report


def test_what_a_person_refused_is_neither_sent_nor_opened_by_name_until_it_is_approved(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "home" / "store"), tmp_path / "cache")
    exported, verdict = judged(store, passed=1.0, overruled=0.0)
    assert model_directory("books") == store.local(exported)
    record_answer(store, "books", "gate.release", verdict, approved=False, who="Ada", reason="it is rude")
    with pytest.raises(PushError, match="it was refused by Ada: it is rude; `folio approve` can change the answer"):
        push_model(str(store.local(exported)), str(tmp_path / "there"), send=True, public=False)
    with pytest.raises(LookupError, match="books was exported, but it was refused by Ada"):
        model_directory("books")
    record_answer(store, "books", "gate.release", verdict, approved=True, who="Ada", reason="it is polite now")
    assert model_directory("books") == store.local(exported)


def test_what_another_stage_made_is_not_sent(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "home" / "store"), tmp_path / "cache")
    tuned = committed(store, FILES, stage="tune", label="books")
    with pytest.raises(PushError, match="is what tune made, and only exports are sent"):
        push_model(str(store.local(tuned)), str(tmp_path / "there"), send=True, public=False)


def test_a_copy_that_no_store_knows_is_sent_and_the_report_says_that_its_gate_is_not_known(released: Path, tmp_path: Path) -> None:
    report = push_model(str(released), str(tmp_path / "there"), send=True, public=False)
    assert "whether its release gate passed is not known here" in report and "Sent 3 files" in report

"""A conversation on the terminal: what it says of the model, and how a reply appears and ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from data.shards.pictures import Picture
from flows.cli.chat_models import description, model_directory
from flows.cli.chat_session import _converse, show, talk
from model.inference.chat import ChatModel
from model.inference.config import SamplingConfig
from model.inputs.config import PicturesConfig, SoundsConfig
from tasks.stage.store.store import Store
from tests.model.serving.hostile_media import tone
from tests.tasks.records import committed

NETWORK = SimpleNamespace(config=SimpleNamespace(kind="decoder"), parameters=0)


class Parrot:
    """Repeats what it is told, and is interrupted or refuses when it is told to be."""

    def __init__(self) -> None:
        self.forgotten = 0
        self.documents = None

    def say(self, text: str, config: SamplingConfig, seed: int) -> Iterator[str]:
        """Yield the text in two pieces."""
        if text == "refuse":
            raise ValueError("the message is 900 tokens; shorten it")
        yield text[:2]
        if text == "endless":
            raise KeyboardInterrupt
        yield f"{text[2:]}{seed}"

    def reset(self) -> None:
        """Count how often the conversation was forgotten."""
        self.forgotten += 1


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Have these lines typed, then the end of the input."""
    left = iter(lines)

    def answer(prompt: str) -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", answer)


def test_ctrl_c_ends_a_reply_and_a_message_that_does_not_fit_is_named_and_the_conversation_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parrot: Any = Parrot()
    typed(monkeypatch, "endless", "refuse", "/forget", "hello")
    _converse(parrot, SamplingConfig(), 7)
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["en (stopped)", "hello9", ""]
    assert shown.err == "folio: the message is 900 tokens; shorten it\n"
    assert parrot.forgotten == 1


@pytest.mark.parametrize("option", ["image", "audio"])
def test_a_picture_or_a_recording_stands_before_the_first_message_and_what_is_none_is_refused_by_name(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Sensing(Parrot):
        def __init__(self, reads: PicturesConfig | SoundsConfig | None) -> None:
            super().__init__()
            self.network = SimpleNamespace(config=SimpleNamespace(kind="decoder", patches=reads), parameters=0, context=128)

        def show(self, picture: Picture) -> str:
            return f"<{picture.width}x{picture.height}>"

    def ask(file: str, question: str | None, reads: PicturesConfig | SoundsConfig | None, **more: Any) -> list[str]:
        monkeypatch.setattr(ChatModel, "open", lambda *given, **named: Sensing(reads))
        talk(str(tmp_path), None, {"temperature": 0.0}, None, question, **{**more, option: tmp_path / file})
        return capsys.readouterr().out.split()

    (tmp_path / "config.json").write_text("{}")
    Image.new("L", (3, 2)).save(tmp_path / "cat.png")
    (tmp_path / "tone.wav").write_bytes(tone(0.2))
    (tmp_path / "long.wav").write_bytes(tone(2))
    eyes, ears = PicturesConfig(height=4, width=4, patch=2), SoundsConfig(seconds=1, stack=4)
    reads: Any
    file, reads, other, name, said, fault = {
        "image": ("cat.png", eyes, ears, "<3x2>", "reads no pictures, but sounds", "no picture: not one of PNG"),
        "audio": ("tone.wav", ears, eyes, "<3200x1>", "reads no sounds, but pictures", "no sound, or a damaged one"),
    }[option]
    assert ask(file, "Who?", reads) == [name, "Who?0"]
    typed(monkeypatch, "one", "two")
    assert ask(file, None, reads) == [name, "one0", "two1"]
    for given, sensed, more, wrong in (
        ("none.png", reads, {}, f"--{option} .*none.png: No such file or directory"),
        ("config.json", reads, {}, f"--{option} .*config.json: {fault}"),
        (file, reads, {"best_of": 4}, "reward models read words alone"),
        (file, None, {}, f"--{option} .*{file}: {tmp_path} {said.partition(',')[0]}; leave it out"),
        (file, other, {}, f"--{option} .*{file}: {tmp_path} {said}; leave it out"),
    ):
        with pytest.raises(ValueError, match=wrong):
            ask(given, "Who?", sensed, **more)  # type: ignore[arg-type]
    if option == "audio":
        with pytest.raises(ValueError, match=r"long\.wav: too long: 2\.00 seconds, the limit is 1"):
            ask("long.wav", "Who?", reads)


def test_a_reply_may_take_the_whole_context_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Counting:
        network = SimpleNamespace(**vars(NETWORK), context=128)

        def say(self, text: str, config: SamplingConfig, seed: int) -> Iterator[str]:
            yield f"up to {config.max_new_tokens} tokens"

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(ChatModel, "open", lambda *given, **named: Counting())
    for longest, said in ((None, "up to 128 tokens"), (7, "up to 7 tokens")):
        talk(str(tmp_path), None, {"temperature": 0.0, "max_new_tokens": longest}, None, "Who?")
        assert capsys.readouterr().out.strip() == said


def test_a_reply_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show(["A\x1b[2J", "cat."])
    assert capsys.readouterr().out == "A␛[2Jcat.\n"


def test_what_is_loaded_is_said_with_its_size_its_place_and_how_to_see_what_it_was_made_of(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    files = {"config.json": b"{}", "model.safetensors": b"w" * 4000, "int8/config.json": b"{}", "int8/model.int8.safetensors": b"w" * 1000}
    folder = store.local(committed(store, files, stage="export", label="universe", metrics={"parameters": 988_288.0}))
    whole, small = "\n".join(description(folder, NETWORK)), "\n".join(description(folder / "int8", NETWORK))
    assert whole.startswith("universe: decoder of 988,288 parameters, 4 kB of weights")
    assert small.startswith("universe: decoder of 988,288 parameters, its INT8 form, computed in fp32, 1 kB of weights")
    assert str(folder) in whole and "exported 20" in whole and f"lineage {folder.parent.name}/{folder.name} --store {store.root}" in whole
    assert model_directory(str(folder)) == folder


def test_a_model_of_unknown_making_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "of unknown making" in "\n".join(description(tmp_path, NETWORK))


def test_a_recipe_s_model_is_looked_for_in_the_store_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=f"There is no released model 'universe' in {tmp_path}/other; make one with: "):
        model_directory("universe", str(tmp_path / "other"))

"""Whatever is opened as a model opens, or fails in one way: within seconds and a gigabyte, in one line that names the file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from data.tokens.adopt import adopt_tokenizer
from data.tokens.chat_template import ChatTemplate
from data.tokens.encoder import TextEncoder
from flows.cli.serving import said_of
from model.inference.chat import ChatModel
from model.inference.open_model import fingerprint
from model.networks.base import ModelError
from model.opening.config import FolderModel
from model.opening.gguf.unpack import unpack
from model.opening.gguf_model import GgufModel
from model.opening.source import Surroundings, adopt_model
from tests.model.opening.hostile import ADAPTER, FORMS, SHARDS, TEMPLATES, VOCABULARY, spoil, write_sound

pytest.importorskip("gguf")
pytest.importorskip("transformers")
SECONDS, MEGABYTES = 10, 1000


def around(folder: Path) -> Surroundings:
    return Surroundings(folder, folder / "cache", folder / "scratch")


# Everything that takes a model's folder from somebody else.
DOORS: dict[str, Callable[[Path], Any]] = {
    "a recipe's base": lambda folder: FolderModel(path=".").open(around(folder)),
    "its shape, for `folio size`": lambda folder: FolderModel(path=".").shape(around(folder)),
    "adopting the weights": lambda folder: adopt_model(folder, folder / "adopted"),
    "adopting the tokenizer": lambda folder: adopt_tokenizer(folder, folder / "adopted", VOCABULARY),
    "its words": TextEncoder,
    "its template, to learn from": ChatTemplate,
    "chat": ChatModel.open,
    "chat with an adapter": lambda folder: ChatModel.open(folder, adapter=folder / ADAPTER),
    "chat with a rounded form": lambda folder: ChatModel.open(folder / "int8", tokenizer=folder),
    "what serving says of it": lambda folder: list(said_of(folder / "whole.gguf")) + list(said_of(folder)),
    "what replies follow from": lambda folder: fingerprint(folder, folder / ADAPTER),
    "a recipe's GGUF base": lambda folder: GgufModel(path="whole.gguf").shape(around(folder)),
    "a GGUF file's weights and words": lambda folder: unpack(folder / "whole.gguf", folder / "unpacked"),
}


@contextmanager
def within(seconds: float, megabytes: float) -> Iterator[None]:
    """Fail if what is inside takes longer, or more memory at its peak."""

    def late(number: int, frame: object) -> None:
        raise KeyboardInterrupt("it took too long")

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = _peak(), time.monotonic()
    handler = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 2 * seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert time.monotonic() - began < seconds
    assert _peak() - before < megabytes


def _peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    for form in FORMS:
        write_sound(folder / form, form)
    return folder


def refusals(folder: Path) -> dict[str, str]:
    """Open a folder in every way; return by door what was said of it. Anything but ModelError is raised."""
    said: dict[str, str] = {}
    for name, door in DOORS.items():
        try:
            with within(SECONDS, MEGABYTES):
                door(folder)
        except ModelError as error:
            said[name] = str(error)
    return said


def check(sound: Path, folder: Path, seed: int) -> None:
    shutil.copytree(sound / FORMS[seed % len(FORMS)], folder)
    done = spoil(folder, seed)
    file = folder / done.partition(":")[0]
    try:
        said = refusals(folder)
        for message in said.values():
            assert str(folder) in message and "\n" not in message and len(message) <= 1300
            assert "MemoryError" not in message
            # What is wrong between two files may be told of the other.
            assert file.name in message or file.suffix in (".safetensors", ".json", ".gguf"), message
    except (Exception, KeyboardInterrupt) as error:
        raise AssertionError(f"seed {seed}: {done}: {type(error).__name__}: {error}") from error
    shutil.rmtree(folder)


@pytest.mark.parametrize("form", FORMS)
def test_a_sound_folder_opens_in_every_way(form: str, sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound / form, folder := tmp_path / "model")
    assert refusals(folder) == {}


def longest_array(folder: Path) -> None:
    content = bytearray((folder / "whole.gguf").read_bytes())
    at = content.index(key := b"tokenizer.ggml.tokens") + len(key) + 8
    content[at : at + 8] = (2**60).to_bytes(8, "little")
    (folder / "whole.gguf").write_bytes(content)


def deepest_network(folder: Path) -> None:
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**fields, "num_hidden_layers": 10**8}))


def waiting_file(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    os.mkfifo(folder / "tokenizer_config.json")


def endless_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(TEMPLATES[0])


@pytest.mark.parametrize(
    ("spoiled", "door", "said"),
    [
        (longest_array, "a recipe's GGUF base", "whole.gguf .* says that it has 1,152,921,504,606,846,976 items of tokenizer.ggml.tokens"),
        (deepest_network, "its shape, for `folio size`", "config.json: num_hidden_layers is 100000000, which no network has"),
        (waiting_file, "chat", "tokenizer_config.json is a FIFO, not a file; put the model's own file there"),
        (waiting_file, "adopting the tokenizer", "tokenizer_config.json is a FIFO"),
        (endless_template, "chat", "chat_template.jinja does not end for two messages: its loops take more than 2,000,000 steps"),
    ],
)
def test_what_would_never_end_is_refused_with_its_value_and_a_way_out(
    spoiled: Callable[[Path], None], door: str, said: str, sound: Path, tmp_path: Path
) -> None:
    shutil.copytree(sound / "llama-2", folder := tmp_path / "model")
    spoiled(folder)
    with within(SECONDS, MEGABYTES), pytest.raises(ModelError, match=said):
        DOORS[door](folder)


def test_links_may_lead_to_a_hub_cache_s_blobs_or_to_files_of_the_same_name_and_nowhere_else(sound: Path, tmp_path: Path) -> None:
    blobs, snapshot, farm = (tmp_path / name for name in ("blobs", "snapshots/0123", "farm"))
    shutil.copytree(sound / "llama-2", snapshot)
    blobs.mkdir()
    farm.mkdir()
    for number, path in enumerate(path for path in sorted(snapshot.iterdir()) if path.is_file()):
        path.rename(blob := blobs / f"{number:040x}")
        path.symlink_to(os.path.relpath(blob, snapshot))
        (farm / path.name).symlink_to(sound / "llama-2" / path.name)
    for folder in (snapshot, farm):
        assert DOORS["chat"](folder) and DOORS["adopting the weights"](folder) and DOORS["adopting the tokenizer"](folder)
    (farm / "chat_template.jinja").unlink()
    (farm / "chat_template.jinja").symlink_to(sound / "llama-2" / "README.md")
    with pytest.raises(ModelError, match=r"chat_template\.jinja is a link out of its folder to .*README\.md, a file of another name; copy"):
        DOORS["chat"](farm)


def test_weights_of_another_type_than_floating_point_are_not_taken_for_weights(sound: Path, tmp_path: Path) -> None:
    """Integers without their scales would open as a model that writes nonsense."""
    shutil.copytree(sound / "llama-2", folder := tmp_path / "model")
    tensors = load_file(folder / SHARDS[0])
    name = next(name for name in tensors if name.endswith("up_proj.weight"))
    save_file({**tensors, name: tensors[name].to(torch.int8)}, folder / SHARDS[0])
    with pytest.raises(ModelError, match=rf"holds {name} as I8, and weights are F64, F32, F16, BF16; take the model in full precision"):
        DOORS["chat"](folder)


@pytest.mark.parametrize("block", range(4))
def test_a_spoiled_folder_opens_or_is_refused_in_one_line_that_names_a_file(block: int, sound: Path, tmp_path: Path) -> None:
    for seed in range(15 * block, 15 * block + 15):
        check(sound, tmp_path / str(seed), seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_so_are_hundreds(block: int, sound: Path, tmp_path: Path) -> None:
    for seed in range(1000 + 25 * block, 1000 + 25 * block + 25):
        check(sound, tmp_path / str(seed), seed)

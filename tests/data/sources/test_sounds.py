"""Sounds among words: what becomes of each file in a folder of recordings and transcripts."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from data.documents.sharding import document_id
from data.shards.pictures import PARTS, SOUND, Picture, read_parts
from data.shards.sounds import RATE
from data.sources.census import census
from data.sources.config import IngestConfig, SoundsSource
from tests.data.sources.reading import limits, read, rows, write

soundfile = pytest.importorskip("soundfile")
CONFIG = IngestConfig(sources=(SoundsSource(paths=(".",), max_seconds=2),), shards=1)


def recording(seconds: float = 0.5, form: str = "WAV", rate: int = RATE, channels: int = 1, pitch: float = 440.0) -> bytes:
    """A tone, as a file."""
    wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)
    out = io.BytesIO()
    soundfile.write(out, np.tile(wave[:, None], (1, channels)), rate, format=form)
    return out.getvalue()


def endless() -> bytes:
    """A FLAC of a few bytes that says that it holds days of samples."""
    content = bytearray(recording(0.1, "FLAC"))
    content[22:26] = b"\xff" * 4  # the lower 32 of 36 bits of the number of samples
    return bytes(content)


def piped() -> bytes:
    """A WAV file whose writer couldn't go back to say how long it became."""
    content = bytearray(recording())
    content[40:44] = b"\xff" * 4
    return bytes(content)


SHELF = {
    "a/one.wav": recording(),
    "a/one.txt": b"a tone\n",
    "a/two.flac": recording(form="FLAC", rate=8000, channels=2),
    "a/three.ogg": recording(1.0, form="OGG", rate=44_100),
    "a/metadata.csv": b"file_name,text\ntwo.flac,a second tone\nthree.ogg,a third\nnone.wav,nobody\n",
    "b/long.wav": recording(2.5),
    "b/cut.flac": recording(1.0, form="FLAC")[:900],
    "b/empty.wav": recording(0.0),
    "b/text.wav": b"These are words.",
    "b/lonely.wav": recording(pitch=300),
    **{f"b/{name}.txt": b"what nobody hears" for name in ("long", "cut", "empty", "text")},
    "b/page.txt": b"no sound has this name",
}


def parts_of(output: Path, shards: int = 1) -> dict[str, Picture]:
    return {part.path: part.picture for n in range(shards) for part in read_parts([output / str(n) / PARTS]) if part.picture}


def test_recordings_with_what_is_said_become_documents_at_one_rate_and_say_what_they_were(tmp_path: Path) -> None:
    read(CONFIG, write(tmp_path / "shelf", SHELF), tmp_path / "out")
    found, said = parts_of(tmp_path / "out"), {}
    for row in rows(tmp_path / "out", "documents", 1):
        told = json.loads(row["metadata"])
        said[told["path"]] = (row["text"], told["encoding"])
    assert {path: text.partition("\n\n")[2] for path, (text, _) in said.items()} == {
        "a/one.wav": "a tone", "a/two.flac": "a second tone", "a/three.ogg": "a third",
    }  # fmt: skip
    assert said["a/two.flac"][1] == "FLAC PCM_16, 8000 Hz, 2 channels, 0.500 s"
    assert said["a/three.ogg"][1] == "OGG VORBIS, 44100 Hz, 1 channel, 1.000 s"
    for path, sound in found.items():
        assert sound.mode == SOUND and said[path][0].startswith(f"[sound:{sound.name}]\n\n")
        samples = np.frombuffer(sound.pixels, "<i2") / 32_768
        assert len(samples) == sound.width == (RATE if path == "a/three.ogg" else RATE // 2)
        peak = np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples)
        assert peak == pytest.approx(440, abs=3) and np.abs(samples).max() == pytest.approx(0.5, abs=0.06), path


def test_recordings_that_a_parquet_table_holds_are_those_that_files_hold(tmp_path: Path) -> None:
    table = [{"audio": {"bytes": SHELF["a/two.flac"], "path": None}, "sentence": "a second tone"}]
    table += [{"audio": {"bytes": SHELF["b/cut.flac"], "path": None}, "sentence": "a part"}]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(table), out)
    source = SoundsSource(paths=(".",), path_field="audio", caption_field="sentence", max_seconds=2)
    read(IngestConfig(sources=(source,), shards=1), write(tmp_path / "set", {"set.parquet": out.getvalue()}), tmp_path / "out")
    read(CONFIG, write(tmp_path / "shelf", SHELF), tmp_path / "files")
    assert parts_of(tmp_path / "out") == {"set.parquet#1": parts_of(tmp_path / "files")["a/two.flac"]}
    (fault,) = rows(tmp_path / "out", "quarantine", 1)
    assert fault["path"] == "set.parquet#2" and "damaged" in fault["reason"]


def test_what_is_too_long_or_broken_or_said_of_nothing_is_set_aside_by_name(tmp_path: Path) -> None:
    shelf = write(tmp_path / "shelf", SHELF | {"b/bomb.flac": endless(), "b/bomb.txt": b"a bomb"})
    read(CONFIG, shelf, tmp_path / "out")
    reasons = {row["path"]: row["reason"] for row in rows(tmp_path / "out", "quarantine", 1)}
    assert reasons["b/long.wav"] == "too long: 2.50 seconds, the limit is 2"
    assert "damaged" in reasons["b/cut.flac"] and reasons["b/empty.wav"] == "no sound: it has no samples"
    assert reasons["b/text.wav"].startswith("no sound, or a damaged one") and reasons["b/lonely.wav"].startswith("no caption")
    assert reasons["a/metadata.csv#none.wav"].startswith("no such sound") and reasons["b/page.txt"].startswith("no sound: it is no")
    assert reasons["b/bomb.flac"] == "too long: 268435.46 seconds, the limit is 2"
    counted = census(CONFIG, tmp_path / "census", [tmp_path / "out" / "0"], shelf, tmp_path, **limits(tmp_path / "scratch"))
    assert counted["read"] + counted["set_aside"] == len(SHELF) + 2


def test_a_wav_file_that_was_cut_off_is_set_aside_and_one_that_was_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    whole = {"a/piped.wav": piped(), "a/piped.txt": b"whole"}
    read(CONFIG, write(tmp_path / "shelf", whole | {"b/cut.wav": recording()[:-100], "b/cut.txt": b"a part"}), tmp_path / "out")
    (document,), (cut,) = rows(tmp_path / "out", "documents", 1), rows(tmp_path / "out", "quarantine", 1)
    assert document["text"].endswith("whole")
    assert (cut["path"], cut["reason"]) == ("b/cut.wav", "damaged sound: it ends 100 bytes before its samples do")


def test_a_recording_that_is_taken_down_leaves_no_sample_and_shards_hold_what_one_holds(tmp_path: Path) -> None:
    shelf = write(tmp_path / "shelf", SHELF)
    read(CONFIG.model_copy(update={"shards": 3}), shelf, tmp_path / "three")
    read(CONFIG, shelf, tmp_path / "one")
    assert parts_of(tmp_path / "three", 3) == parts_of(tmp_path / "one")
    without = CONFIG.model_copy(update={"without": (document_id("sounds", "a/one.wav"),)})
    read(without, shelf, tmp_path / "out")
    assert set(parts_of(tmp_path / "out")) == {"a/two.flac", "a/three.ogg"}
    census(without, tmp_path / "census", [tmp_path / "out" / "0"], shelf, tmp_path, **limits(tmp_path / "scratch"))


def test_two_hundred_damaged_recordings_are_each_read_or_set_aside(tmp_path: Path) -> None:
    draw = random.Random(4)
    whole = [recording(0.05, form, 8000) for form in ("WAV", "FLAC", "OGG")]
    files: dict[str, bytes] = {}
    for number in range(200):
        content = bytearray(draw.choice(whole))
        for _ in range(draw.randrange(1, 9)):
            # Half of the changes are in the first bytes, which say what follows.
            content[draw.randrange(len(content) if draw.random() < 0.5 else 60)] = draw.randrange(256)
        files[f"{number}.wav"] = bytes(content[: draw.randrange(1, len(content) + 1)] if draw.random() < 0.3 else content)
        files[f"{number}.txt"] = b"a tone"
    shelf = write(tmp_path / "shelf", files)
    (metrics,) = read(CONFIG, shelf, tmp_path / "out")
    aside = {row["path"] for row in rows(tmp_path / "out", "quarantine", 1)}
    assert metrics["documents"] > 10 and len(aside) > 50 and len(aside | parts_of(tmp_path / "out").keys()) == 200
    census(CONFIG, tmp_path / "census", [tmp_path / "out" / "0"], shelf, tmp_path, **limits(tmp_path / "scratch"))


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({}, "a source of sounds has one of them, not both"),
        ({"paths": ("a",), "sentences": 20}, "sentences=20 does nothing"),
        ({"collection": "spoken", "max_seconds": 5}, "max_seconds=5.0 does nothing"),
    ],
)
def test_keys_that_do_nothing_are_refused_by_name(keys: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        SoundsSource(**keys)

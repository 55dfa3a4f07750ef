"""Pictures as columns of packed rows: their vectors, their places, and that no row has a part of one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from data.shards.pictures import PARTS, PLACES, Part, Picture, PictureGrid, cut_patches, write_parts
from data.shards.reader import ShardReader
from data.tokens.config import EncodeConfig, PackConfig
from data.tokens.encode import encode
from data.tokens.encoder import TextEncoder
from data.tokens.pack import pack
from data.tokens.special import PAD
from tests.data.tokens.corpora import conversation, prose, write_lines, write_split

GRID = PictureGrid(height=6, width=4, patch=2)  # 6 patches of 4 numbers


def drawn(seed: int, mode: str = "L", size: tuple[int, int] = (4, 6)) -> Picture:
    count = size[0] * size[1] * (3 if mode == "RGB" else 1)
    return Picture(mode, *size, random.Random(seed).randbytes(count))


PICTURES = [drawn(seed) for seed in range(5)]


def write_pictures(path: Path, pictures: Sequence[Picture] = PICTURES) -> Path:
    write_parts(path, [Part(str(number), "s", str(number), picture) for number, picture in enumerate(pictures)])
    return path


@pytest.mark.parametrize(("mode", "colours"), [("L", "gray"), ("RGB", "rgb")])
def test_patches_are_those_that_a_convolution_of_their_size_sees(mode: str, colours: str) -> None:
    """Against PyTorch's unfold, which a Vision Transformer's first convolution equals."""
    grid = PictureGrid.model_validate({"height": 12, "width": 8, "patch": 4, "colours": colours})
    picture = drawn(3, mode, (8, 12))
    values = torch.frombuffer(bytearray(picture.pixels), dtype=torch.uint8).reshape(12, 8, -1).permute(2, 0, 1)[None] / 127.5 - 1
    unfolded = torch.nn.functional.unfold(values, 4, stride=4)[0].T  # patches, channels x pixels
    expected = unfolded.reshape(6, -1, 16).permute(0, 2, 1).reshape(6, -1)
    torch.testing.assert_close(torch.from_numpy(cut_patches(picture, grid)).float(), expected, atol=1e-3, rtol=0)


def test_a_picture_of_another_size_or_colour_is_scaled_and_converted() -> None:
    found = cut_patches(Picture("RGB", 40, 60, bytes([255, 255, 255]) * 2400), GRID)
    assert found.shape == (6, 4) and found.dtype == np.float16 and (found == 1).all()
    assert (cut_patches(Picture("L", 1, 1, b"\0"), PictureGrid(height=2, width=2, patch=1, colours="rgb")) == -1).all()


def test_a_moving_picture_is_cut_frame_by_frame_spread_from_its_first_to_its_last() -> None:
    moving = Picture("L", 4, 6, b"".join(bytes([shade]) * 24 for shade in range(0, 250, 25)), 10)
    found = cut_patches(moving, GRID.model_copy(update={"frames": 4}))
    assert found.shape == (24, 4)
    assert np.allclose((found.reshape(4, -1).mean(1) + 1) * 127.5, [0, 75, 150, 225], atol=0.2)
    assert np.array_equal(cut_patches(moving, GRID), cut_patches(Picture("L", 4, 6, moving.stills[0]), GRID))
    still = cut_patches(PICTURES[0], GRID.model_copy(update={"frames": 3}))
    assert np.array_equal(still, np.tile(cut_patches(PICTURES[0], GRID), (3, 1)))
    assert moving.name != moving._replace(frames=1, height=60).name


def book_texts() -> list[str]:
    """Texts with pictures in all places: first, last, one after another, in documents of many rows, twice, and none."""
    a, b, c, d, e = (picture.placeholder for picture in PICTURES)
    long = prose(1, 6)
    middle = [f"{prose(n, 1)[: 7 * n]}{(a, b, c, d, e)[n % 5]}" for n in range(40)]
    return [f"{a} one", f"two {b}", f"{c}{d}{c}", long, "".join(middle), f"{long} {e} {long}", "plain", f"not [picture:{'b' * 16}] known"]


@pytest.mark.parametrize("length", [8, 9, 11, 16, 33, 64])
def test_rows_hold_every_picture_whole_with_its_vectors_places_and_no_loss(length: int, tokenizer: Path, tmp_path: Path) -> None:
    texts = book_texts()
    split = write_split(tmp_path / "train.parquet", texts)
    parts = write_pictures(tmp_path / PARTS)
    config = PackConfig(sequence_length=length, instruction_fraction=0, method="best_fit", pictures=GRID, shard_rows=5)
    metrics = pack({"train": split}, tokenizer, None, tmp_path / "out", config, parts=[parts])
    reader, encoder = ShardReader(tmp_path / "out" / "train"), TextEncoder(tokenizer)
    rows = reader.rows(np.arange(len(reader)))
    known = [cut_patches(picture, GRID).astype(np.float32) for picture in PICTURES]
    found = dict.fromkeys(range(5), 0)
    for tokens, places, vectors, loss in zip(rows["tokens"], rows[PLACES], rows["patches"], rows["loss"], strict=True):
        assert (tokens[places > 0] == PAD).all() and not loss[places > 0].any() and not vectors[places == 0].any()
        starts = np.flatnonzero(places == 1)
        assert places.astype(bool).sum() == 6 * len(starts)
        for start in starts:
            assert places[start : start + 6].tolist() == [1, 2, 3, 4, 5, 6]
            (number,) = (n for n, one in enumerate(known) if np.array_equal(one, vectors[start : start + 6]))
            found[number] += 1
    assert found == {n: sum(text.count(PICTURES[n].placeholder) for text in texts) for n in range(5)}
    plain = [text for text in texts]
    for picture in PICTURES:
        plain = [text.replace(picture.placeholder, "") for text in plain]
    assert metrics["train_bytes"] == sum(len(text.encode()) for text in plain)
    targets = np.concatenate([tokens[loss] for tokens, loss in zip(rows["tokens"], rows["loss"], strict=True)])
    assert encoder.token_bytes[targets].sum() == metrics["train_bytes"] and reader.metadata.targets == len(targets)


def test_rows_do_not_depend_on_the_order_of_pictures_and_other_documents_are_packed_as_ever(tokenizer: Path, tmp_path: Path) -> None:
    split = write_split(tmp_path / "train.parquet", book_texts())
    config = PackConfig(sequence_length=16, instruction_fraction=0, method="best_fit", pictures=GRID)
    for name, pictures in (("one", PICTURES), ("other", [drawn(99), *PICTURES[::-1]])):
        pack({"train": split}, tokenizer, None, tmp_path / name, config, parts=[write_pictures(tmp_path / f"{name}.parquet", pictures)])
    assert (tmp_path / "one/train/00000.arrow").read_bytes() == (tmp_path / "other/train/00000.arrow").read_bytes()
    words = write_split(tmp_path / "words.parquet", [prose(n, 4) for n in range(5)])
    pack({"train": words}, tokenizer, None, tmp_path / "a", config, parts=[tmp_path / "one.parquet"])
    pack({"train": words}, tokenizer, None, tmp_path / "b", config.model_copy(update={"pictures": None}))
    first, second = (ShardReader(tmp_path / name / "train") for name in "ab")
    everything = first.rows(np.arange(len(first)))
    assert all(np.array_equal(everything[name], values) for name, values in second.rows(np.arange(len(second))).items())


def test_conversations_hold_pictures_in_rows_for_tuning_and_in_mixed_ones(tokenizer: Path, tmp_path: Path) -> None:
    name = PICTURES[2].placeholder
    talks = [
        conversation(f"{name} What <|end|> is it?", "A cat."),
        conversation("Who?", "No one."),
        conversation(f"And {name}?", f"As {name}."),
    ]
    for kind in ("instructions", "preferences"):
        for part in ("train", "val"):
            write_lines(tmp_path / "talks" / f"{kind}_{part}.jsonl", talks if kind == "instructions" else [])
    write_pictures(tmp_path / "talks" / PARTS)
    metrics = encode(tmp_path / "talks", tokenizer, tmp_path / "rows", EncodeConfig(sequence_length=64, pictures=GRID))
    assert metrics["sft_train_kept"] == 3 and metrics["removed"] == metrics["quarantined"] == 0
    reader = ShardReader(tmp_path / "rows" / "sft" / "train")
    rows = reader.rows(np.arange(len(reader)))
    assert (rows[PLACES] > 0).sum() == 18 and not rows["loss"][rows[PLACES] > 0].any()
    answers = TextEncoder(tokenizer).decode(rows["tokens"][rows["loss"]])
    assert all(said in answers for said in ("A cat.<|end|>", "No one.<|end|>", "As")) and "What" not in answers
    split = write_split(tmp_path / "train.parquet", [prose(1, 3)])
    config = PackConfig(sequence_length=64, instruction_fraction=0.5, method="best_fit", pictures=GRID)
    pack({"train": split}, tokenizer, tmp_path / "talks", tmp_path / "out", config, parts=[tmp_path / "talks" / PARTS])
    mixed = ShardReader(tmp_path / "out" / "train")
    assert (mixed.rows(np.arange(len(mixed)))[PLACES] > 0).sum() >= 18


def test_pairs_with_pictures_are_set_aside_by_name(tokenizer: Path, tmp_path: Path) -> None:
    pair = {"messages": conversation(f"{PICTURES[0].placeholder}?")["messages"], "chosen": "yes", "rejected": "no"}
    for kind in ("instructions", "preferences"):
        for part in ("train", "val"):
            write_lines(tmp_path / "talks" / f"{kind}_{part}.jsonl", [pair] if kind == "preferences" else [])
    write_pictures(tmp_path / "talks" / PARTS)
    encode(tmp_path / "talks", tokenizer, tmp_path / "rows", EncodeConfig(sequence_length=64, pictures=GRID))
    assert "a pair with pictures: rows of pairs have no column for them" in (tmp_path / "rows" / "ledger.jsonl").read_text()


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"method": "cut"}, "method='cut' with pictures"),
        ({"spelling": 8}, "spelling=8 with pictures"),
        ({"augment": {"paragraphs": True}}, "augment=True with pictures"),
        ({"sequence_length": 6}, "pictures of 6 patches fit no row of sequence_length=6"),
        ({"pictures": {"height": 6, "width": 5, "patch": 2}}, "width=5 is no multiple of patch=2"),
    ],
)
def test_what_would_cut_a_picture_is_refused_by_name(keys: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        PackConfig.model_validate({"method": "best_fit", "pictures": GRID.model_dump(), **keys})

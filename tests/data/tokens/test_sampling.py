"""The tokenizer's sample is drawn shard by shard, and is the one that the whole split would give."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.documents.sharding import shard_of
from data.tokens import encoder, sampling
from data.tokens.config import SHARE, TokenizerConfig
from data.tokens.documents import shuffle_key
from data.tokens.encoder import TokenizerError
from data.tokens.sampling import Sample, allot, halvings
from data.tokens.tokenizer import fit_tokenizer
from tests.data.dedup.books import bytes_of, write
from tests.data.tokens.corpora import prose
from tests.data.tokens.sampled import draw_shards, fit_shards

BOOKS = {f"{(number * 7919) % 64 << 58:016x}": prose(number, number % 13) for number in range(20)}
TOTAL = sum(len(text.encode()) for text in BOOKS.values())


def in_order(count: int) -> Callable[[int, str], int]:
    """Which of `count` shards a text lies in, by its number and its name."""
    return lambda number, name: shard_of(name, count)


PLACED: dict[str, tuple[int, Callable[[int, str], int]]] = {
    **{f"{count} in order": (count, in_order(count)) for count in (1, 2, 3, 8)},
    "5 whose ids overlap, one empty": (5, lambda number, name: number % 4),
}
SIZES = {"all fits": TOTAL, "all but a byte": TOTAL - 1, "half": TOTAL // 2, "a quarter": TOTAL // 4, "a tenth": TOTAL // 10}
Shards = tuple[list[Path], list[Path]]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of about a hundred characters, of which a sweep holds out little."""
    monkeypatch.setattr(encoder, "CHUNK_CHARACTERS", 100)
    monkeypatch.setattr(encoder, "MAX_CHUNK_CHARACTERS", 1600)
    monkeypatch.setattr(sampling, "MOST_HELD_OUT", 700)


def shards_of(folder: Path, texts: dict[str, str], count: int = 3, placed: Callable[[int, str], int] | None = None) -> Shards:
    """Write the training split of each shard, and how many bytes it has."""
    place = placed or in_order(count)
    files = []
    for shard in range(count):
        here = {name: texts[name] for number, name in enumerate(sorted(texts)) if place(number, name) == shard}
        files.append(write(folder / str(shard), here))
        sized = {"bytes": sum(len(text.encode()) for text in here.values())}
        files[-1].with_suffix(".json").write_text(json.dumps(sized))
    return files, [path.with_suffix(".json") for path in files]


@pytest.mark.parametrize("sweep", [(), (275, 290)], ids=["one size", "a sweep"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("placed", PLACED)
def test_any_number_of_shards_gives_the_tokenizer_of_the_whole_split(
    tmp_path: Path, placed: str, size: str, sweep: tuple[int, ...]
) -> None:
    config = TokenizerConfig(vocab_size=310, sample_bytes=SIZES[size], sweep=sweep, seed=len(placed))
    (whole,), _ = shards_of(tmp_path / "whole", BOOKS, 1)
    expected = fit_tokenizer(whole, tmp_path / "expected", config), bytes_of(tmp_path / "expected")
    train, sizes = shards_of(tmp_path / "shards", BOOKS, *PLACED[placed])
    assert (fit_shards(train, sizes, tmp_path / "steps", tmp_path / "made", config), bytes_of(tmp_path / "made")) == expected


@pytest.mark.parametrize("held_out", [0.02, 0.2, 0.0], ids=["two percent", "more than its cap", "only the lowest"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [0, 5])
def test_the_sample_and_what_a_sweep_holds_out_follow_their_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str, seed: int, held_out: float
) -> None:
    monkeypatch.setattr(sampling, "HELD_OUT_LOTS", int(2**64 * held_out))
    config = TokenizerConfig(vocab_size=310, sample_bytes=SIZES[size], sweep=(275,), seed=seed)
    train, sizes = shards_of(tmp_path, BOOKS)
    found = Sample.of(train, config, sizes, draw_shards(train, sizes, tmp_path / "steps", config))
    parts = [(name, number, text) for name in sorted(BOOKS) for number, text in enumerate(encoder.chunks(BOOKS[name]))]
    left = {part: shuffle_key(seed, "left out", *part[:2]) for part in parts}
    apart = [part for part in parts if left[part] < 2**64 * held_out] or [min(parts, key=lambda part: left[part])]
    assert list(found.held_out()) == list(_until_full((text for _, _, text in apart), 700))
    taken, room = [], config.sample_bytes
    for name, number, text in parts:
        fits = config.sample_bytes >= TOTAL or shuffle_key(seed, name, number) < int(2**64 * config.sample_bytes / TOTAL)
        if (name, number, text) not in apart and fits and len(text.encode()) <= room:
            room -= len(text.encode())
            taken.append((name, number, text))
    assert list(found.texts()) == [text for _, _, text in taken]
    assert found.record == [(name, number, len(text.encode())) for name, number, text in taken]


def _until_full(texts: Iterable[str], room: int) -> Iterable[str]:
    for text in texts:
        if room > 0:
            room -= len(text.encode())
            yield text


@pytest.mark.parametrize("size", SIZES)
def test_text_is_set_apart_only_where_the_sample_is_at_most_half_of_it(tmp_path: Path, size: str) -> None:
    config = TokenizerConfig(sample_bytes=SIZES[size])
    train, sizes = shards_of(tmp_path, BOOKS)
    drawn = draw_shards(train, sizes, tmp_path / "steps", config)
    rows = [row for path in drawn for row in pq.read_table(path).to_pylist()]
    set_apart = sum(len(text.encode()) for row in rows for text in row["chunks"])
    share = 0.5 ** halvings(TOTAL, SIZES[size])
    assert set_apart == 0 if SIZES[size] > TOTAL / 2 else share / 2 < set_apart / TOTAL < 2 * share
    for row in rows:
        parts = list(encoder.chunks(BOOKS[row["id"]]))
        assert row["chunks"] == [parts[number] for number in row["numbers"]]


def test_what_is_held_out_of_a_shard_is_set_apart_up_to_its_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "HELD_OUT_LOTS", 2**63)
    train, sizes = shards_of(tmp_path, BOOKS)
    set_apart = []
    for number, sweep in enumerate([(), (275,)]):
        drawn = draw_shards(train, sizes, tmp_path / f"steps{number}", TokenizerConfig(sample_bytes=1100, vocab_size=310, sweep=sweep))
        set_apart.append(sum(len(chunk.encode()) for path in drawn for row in pq.read_table(path).to_pylist() for chunk in row["chunks"]))
    assert 700 < set_apart[1] - set_apart[0] < 3 * 1100 < TOTAL / 3


@given(total=st.integers(0, 2**50), sample_bytes=st.integers(1024, 2**31 - 1))
def test_the_share_is_the_smallest_power_of_two_that_holds_the_sample(total: int, sample_bytes: int) -> None:
    number = halvings(total, sample_bytes)
    assert number == 0 or total >= sample_bytes * 2**number
    assert total < sample_bytes * 2 ** (number + 1)


def test_a_text_that_grows_leaves_the_share_as_it_is_until_it_has_doubled(tmp_path: Path) -> None:
    made = []
    for total in (100, 1024, 2047, 2048, 3000, 4095, 4096):
        (tmp_path / "size.json").write_text(json.dumps({"bytes": total}))
        allot([tmp_path / "size.json"], tmp_path, TokenizerConfig(sample_bytes=1024).allotting)
        made.append((tmp_path / SHARE).read_bytes())
    assert made[0] == made[1] == made[2] != made[3] == made[4] == made[5] != made[6] != made[0]


def test_a_sweep_over_one_chunk_larger_than_the_sample_is_refused(tmp_path: Path) -> None:
    train, sizes = shards_of(tmp_path, {"0" * 16: "城" * 1500})
    config = TokenizerConfig(vocab_size=310, sample_bytes=1024, sweep=(275,))
    assert halvings(4500, config.sample_bytes) == 2
    with pytest.raises(TokenizerError, match="nothing to hold out"):
        fit_shards(train, sizes, tmp_path / "steps", tmp_path / "made", config)

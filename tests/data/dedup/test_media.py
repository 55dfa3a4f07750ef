"""Copies of pictures and sounds under other words: one cluster, which no split divides, and nobody else's."""

from __future__ import annotations

import io
import json
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.dedup.clusters import connect_media
from data.dedup.config import DedupConfig, MediaRule
from data.dedup.dedup import dedup
from data.shards.pictures import PARTS, fingerprint, read_parts
from data.sources.config import IngestConfig, PicturesSource, SoundsSource
from data.splits.assignment import assign
from data.splits.config import SplitConfig
from data.universe.speech import speeches
from tests.data.sources.reading import limits, read, write

RULES = DedupConfig.model_validate({"near": {"enabled": False}})


def painting(seed: int) -> Image.Image:
    """Soft shapes of any shades, as photographs have."""
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((160, 120), Image.Resampling.BICUBIC)


def saved(image: Image.Image, form: str = "PNG", **keys: int) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **keys)
    return out.getvalue()


def copies(image: Image.Image) -> list[bytes]:
    return [saved(image.resize((80, 60)), "JPEG", quality=40), saved(image.convert("L"), "WEBP"), saved(image.resize((320, 240)), "BMP")]


def found(
    shelf: Path, source: PicturesSource | SoundsSource, folder: Path, rule: MediaRule, shards: int = 1
) -> tuple[dict[str, str], Path]:
    """Return the cluster of each document by its path, and the folder of what deduplication made of them."""
    read(IngestConfig(sources=(source,), shards=shards), shelf, folder)
    documents = [folder / str(number) / "documents.parquet" for number in range(shards)]
    output = folder / "dedup"
    dedup(documents, output, RULES, **limits(folder / "scratch"))
    connect_media(documents, [path.with_name(PARTS) for path in documents], output, rule, **limits(folder / "scratch"))
    paths = {row["id"]: json.loads(row["metadata"])["path"] for path in documents for row in pq.read_table(path).to_pylist()}
    clusters = pq.read_table(output / "clusters.parquet").to_pylist()
    return {paths[row["id"]]: paths[row["cluster"]] for row in clusters}, output


def groups(clusters: dict[str, str]) -> set[frozenset[str]]:
    return {frozenset(path for path, other in clusters.items() if other == cluster) for cluster in clusters.values()}


def shelf_of_paintings(folder: Path, count: int) -> Path:
    files: dict[str, bytes] = {}
    for seed in range(count):
        image = painting(seed)
        for number, content in enumerate([saved(image), *copies(image)] if seed % 4 == 0 else [saved(image)]):
            files |= {f"{seed}/{number}.png": content, f"{seed}/{number}.txt": f"Words {seed} of their own {number}.".encode()}
    return write(folder, files)


def test_copies_of_a_picture_are_one_cluster_that_no_split_divides_whatever_the_shards(tmp_path: Path) -> None:
    shelf = shelf_of_paintings(tmp_path / "shelf", 40)
    clusters, output = found(shelf, PicturesSource(paths=(".",)), tmp_path / "one", MediaRule())
    assert groups(clusters) == {
        frozenset(path for path in clusters if path.partition("/")[0] == name) for name in {path.partition("/")[0] for path in clusters}
    }
    assert len(clusters) == 70
    again, parted = found(shelf, PicturesSource(paths=(".",)), tmp_path / "three", MediaRule(), shards=3)
    assert again == clusters
    for name in ("clusters.parquet", "pairs.parquet"):
        assert (output / name).read_bytes() == (parted / name).read_bytes()
    pairs = pq.read_table(output / "pairs.parquet").to_pylist()
    assert {row["rule"] for row in pairs} == {"picture"} and all(0.95 <= row["jaccard"] <= 1 for row in pairs)
    sizes = sorted((output / "sizes").iterdir())
    split = SplitConfig.model_validate({"train": 0.6, "val": 0.2, "test": 0.2})
    assign(sizes, output / "clusters.parquet", tmp_path / "split", split, **limits(tmp_path / "scratch"))
    placed = [row for path in sorted((tmp_path / "split").rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    cluster_of = {row["id"]: row["cluster"] for row in pq.read_table(output / "clusters.parquet").to_pylist()}
    splits = {(cluster_of[row["id"]], row["split"]) for row in placed}
    assert len(placed) == 70 and len(splits) == len({cluster for cluster, _ in splits}) and len({split for _, split in splits}) == 3


@pytest.mark.parametrize("distance", [0, 5, 12, 40])
def test_every_pair_within_the_distance_is_found_and_no_other(distance: int, tmp_path: Path) -> None:
    shelf = shelf_of_paintings(tmp_path / "shelf", 24)
    rule = MediaRule(distance=distance, bucket=1000)
    _, output = found(shelf, PicturesSource(paths=(".",)), tmp_path / "out", rule)
    prints = {part.id: fingerprint(part.picture) for part in read_parts([tmp_path / "out" / "0" / PARTS]) if part.picture}
    numbers = {name: int.from_bytes(given) for name, given in prints.items() if given}
    expected = {
        (a, b): 1 - (numbers[a] ^ numbers[b]).bit_count() / 256
        for a, b in combinations(sorted(numbers), 2)
        if (numbers[a] ^ numbers[b]).bit_count() <= distance
    }
    assert expected and {(row["a"], row["b"]): row["jaccard"] for row in pq.read_table(output / "pairs.parquet").to_pylist()} == expected


def test_a_recording_saved_again_softer_at_another_rate_or_compressed_is_one_cluster_with_itself(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    from scipy.signal import resample_poly

    files: dict[str, bytes] = {}
    for number, (samples, _) in enumerate(islice(speeches(3, 60), 30)):
        wave = np.frombuffer(samples, "<i2") / 32_768
        forms = [(wave, 16_000, "WAV"), (wave * 0.3, 16_000, "FLAC"), (resample_poly(wave, 1, 2), 8_000, "WAV"), (wave, 16_000, "OGG")]
        for copy, (given, rate, form) in enumerate(forms if number % 3 == 0 else forms[:1]):
            out = io.BytesIO()
            soundfile.write(out, given, rate, format=form)
            files |= {f"{number}/{copy}.wav": out.getvalue(), f"{number}/{copy}.txt": f"Sentence {number}, heard by {copy}.".encode()}
    clusters, output = found(write(tmp_path / "shelf", files), SoundsSource(paths=(".",), max_seconds=5), tmp_path / "out", MediaRule())
    assert groups(clusters) == {frozenset(path for path in clusters if path.startswith(f"{number}/")) for number in range(30)}
    assert {row["rule"] for row in pq.read_table(output / "pairs.parquet").to_pylist()} == {"sound"}


def test_blank_pictures_and_pages_that_share_one_are_like_nothing(tmp_path: Path) -> None:
    files = {"logo.png": saved(painting(1))}
    for number in range(3):
        files |= {f"{number}.png": saved(Image.new("L", (30 + number, 30), 255)), f"{number}.txt": f"Blank {number}.".encode()}
        files |= {f"{number}.md": f"![](logo.png)\n\nPage {number} has words of its own.".encode()}
    clusters, _ = found(write(tmp_path / "shelf", files), PicturesSource(paths=(".",)), tmp_path / "out", MediaRule())
    assert len(clusters) == 6 and all(path == cluster for path, cluster in clusters.items())

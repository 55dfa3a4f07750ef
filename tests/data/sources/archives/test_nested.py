"""Archives inside archives are opened to the depth that the recipe says, and no further."""

from __future__ import annotations

import base64
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.sources.archives import archive as archives
from data.sources.archives import compression
from data.sources.census import census
from data.sources.config import FilesSource, IngestConfig
from tests.data.sources.material import ARCHIVERS, PACKERS, jsonl, zipped
from tests.data.sources.reading import Outcome, limits, outcome, write

INNER = {"a.txt": b"A text.", "b.jsonl": jsonl([{"text": "One."}, {"text": "Two."}]), "c.psd": b"8BPS"}
TEXTS = {"a.txt": "A text.", "b.jsonl#1": "One.", "b.jsonl#2": "Two."}


def _read(folder: Path, output: Path, shards: int = 1, **keys: Any) -> tuple[Outcome, dict[str, str]]:
    """What ingest finds, and the fate of each entry."""
    config = IngestConfig(sources=(FilesSource(name="shelf", paths=(".",)),), shards=shards, **keys)
    found = outcome(config, folder, output)
    census(config, output / "census", [output / str(n) for n in range(shards)], folder, folder, **limits(output / "scratch"))
    rows = pq.read_table(output / "census" / "census.parquet").to_pylist()
    return found, {row["path"]: row["fate"] for row in rows}


def test_members_of_an_inner_archive_are_read_whatever_the_two_are(tmp_path: Path) -> None:
    boxes = {f"in{ending}": make(INNER) for ending, make in ARCHIVERS.items()}
    files = {f"out{ending}": make(boxes) for ending, make in ARCHIVERS.items()}
    found, fates = _read(write(tmp_path / "shelf", files), tmp_path / "out", shards=2)
    assert found.texts == {f"out{o}/in{i}/{path}": text for o in ARCHIVERS for i in ARCHIVERS for path, text in TEXTS.items()}
    assert not found.reasons and set(fates.values()) == {"read", "opened", "not asked for"}
    assert fates["out.zip/in.tar.gz"] == "opened" and fates["out.zip/in.tar.gz/c.psd"] == "not asked for"


def test_a_deeper_archive_is_quarantined_by_name(tmp_path: Path) -> None:
    deep = {"1.zip": zipped({"2.zip": zipped({"3.zip": zipped(INNER), "x.txt": b"X."}), "y.txt": b"Y."})}
    folder = write(tmp_path / "shelf", deep)
    found, fates = _read(folder, tmp_path / "two")
    assert set(found.texts) == {"1.zip/y.txt", "1.zip/2.zip/x.txt"}
    assert found.reasons["1.zip/2.zip/3.zip"].startswith("nested archive: zip deeper than `archive_depth`")
    assert fates["1.zip/2.zip/3.zip"] == "set aside" and "lost" not in fates.values()
    found, _ = _read(folder, tmp_path / "three", archive_depth=3)
    assert "1.zip/2.zip/3.zip/a.txt" in found.texts and not found.reasons
    found, fates = _read(folder, tmp_path / "one", archive_depth=1)
    assert set(found.texts) == {"1.zip/y.txt"} and set(found.reasons) == {"1.zip/2.zip"} and fates["1.zip/2.zip"] == "set aside"


def test_an_inner_archive_that_is_hostile_damaged_or_none_costs_itself_alone(tmp_path: Path) -> None:
    members = {
        "bomb.zip": zipped({"zeros.txt": bytes(9 << 20)}), "climbing.zip": zipped({"../up.txt": b"Bad."}), "cut.zip": zipped(INNER)[:-9],
        "text.zip": b"This is no archive.", "good.txt": b"Good.", "unasked.zip": zipped({"a.png": b"\x89PNG"}),
    }  # fmt: skip
    found, fates = _read(write(tmp_path / "shelf", {"out.zip": zipped(members)}), tmp_path / "out", shards=3)
    assert found.texts == {"out.zip/good.txt": "Good.", "out.zip/text.zip": "This is no archive."}
    reasons = {path.removeprefix("out.zip/"): reason.partition(":")[0] for path, reason in found.reasons.items()}
    assert reasons == {
        "bomb.zip": "hostile archive", "climbing.zip": "hostile archive", "cut.zip": "damaged archive",
        "unasked.zip": "not asked for",
    }  # fmt: skip
    assert "lost" not in fates.values()


def test_what_an_archive_unpacks_to_on_all_levels_is_compared_with_its_size_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (archives, compression):
        monkeypatch.setattr(module, "RATIO_APPLIES_FROM", 20_000)
    text = base64.b64encode(Random(1).randbytes(2000)) * 12
    box = ARCHIVERS[".tar.gz"]({"a.txt": text})
    many, few = {f"{number}.tar.gz": box for number in range(90)}, {"1.tar.gz": box, "2.tar.gz": box}
    lines = {f"{number}.jsonl.gz": PACKERS[".gz"](jsonl([{"text": text.decode()}])) for number in range(90)}
    # Each level by itself unpacks to far less than 200 times its size.
    files = {"many.tar.gz": ARCHIVERS[".tar.gz"](many), "many.zip": zipped(many), "few.tar.gz": ARCHIVERS[".tar.gz"](few)}
    files |= {"lines.tar.gz": ARCHIVERS[".tar.gz"](dict.fromkeys(lines, lines["0.jsonl.gz"]))}
    found, fates = _read(write(tmp_path / "shelf", files), tmp_path / "out", shards=2)
    assert {path for path in found.texts if path.startswith(("many.zip", "few"))} == {
        *(f"many.zip/{name}/a.txt" for name in many), *(f"few.tar.gz/{name}/a.txt" for name in few)
    }  # fmt: skip
    for file, names in {"many.tar.gz": many, "lines.tar.gz": lines}.items():
        hostile = {path for path, reason in found.reasons.items() if path.startswith(file) and reason.startswith("hostile archive: it unp")}
        assert hostile < {f"{file}/{name}" for name in names} and f"{file}/89{Path(next(iter(names))).name[1:]}" in hostile
        read = sum(len(one) for path, one in found.texts.items() if path.startswith(file))
        assert 0 < read <= 200 * len(files[file])
    assert "lost" not in fates.values()


def test_a_large_member_costs_itself_alone_and_a_file_of_records_may_be_larger_than_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 1 << 20)
    large = base64.b64encode(Random(1).randbytes(1 << 20))
    rows = jsonl([{"text": large[:400_000].decode()}] * 4)
    box = zipped({"a.txt": b"A.", "large.txt": large, "b.jsonl": rows, "unasked.png": large})
    found, fates = _read(
        write(tmp_path / "shelf", {"box.zip": box, "out.zip": zipped({"box.zip": box})}), tmp_path / "out", max_file_megabytes=1
    )
    for name in ("box.zip", "out.zip/box.zip"):
        assert {path for path in found.texts if path.startswith(name)} == {
            f"{name}/a.txt",
            *(f"{name}/b.jsonl#{row}" for row in (1, 2, 3, 4)),
        }
        assert found.reasons[f"{name}/large.txt"].startswith("too large: ") and fates[f"{name}/unasked.png"] == "not asked for"
    assert len(found.reasons) == 2 and "lost" not in fates.values()


def test_what_is_in_an_archive_that_is_refused_is_set_aside_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "TOTAL_LIMIT", 3)
    found, fates = _read(
        write(tmp_path / "shelf", {"a.zip": zipped({"a.txt": b"One.", "b.txt": b"Two."}), "z.txt": b"Z."}), tmp_path / "out"
    )
    assert set(found.texts) == {"z.txt"} and set(found.reasons) == {"a.zip"}
    assert {fates["a.zip/a.txt"], fates["a.zip/b.txt"]} == {"set aside"}

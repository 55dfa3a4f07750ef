"""Pictures among words: what becomes of each file in a folder of pictures, captions and pages."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import ValidationError

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from data.documents.sharding import document_id
from data.documents.stream import DocumentWriter
from data.shards.pictures import PARTS, Part, Picture, divide, named_pictures, placeholder, read_parts, without_pictures
from data.sources.census import census
from data.sources.config import IngestConfig, PicturesSource
from data.sources.errors import SourceError
from data.sources.files import source_state
from data.sources.ingest import IngestInputs, ingest
from tests.data.sources.material import epub
from tests.data.sources.reading import Shard, digests, limits, read, read_all, rows, write


def picture_file(shade: int, size: tuple[int, int] = (6, 4), form: str = "PNG", mode: str = "L", **keys: Any) -> bytes:
    """A picture of one shade, as a file."""
    out = io.BytesIO()
    Image.new(mode, size, shade if mode == "L" else (shade, 10, 20)).save(out, form, **keys)
    return out.getvalue()


def gray(shade: int, size: tuple[int, int] = (6, 4)) -> Picture:
    return Picture("L", *size, bytes([shade]) * (size[0] * size[1]))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says that it is large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


SHELF = {
    "a/cat.png": picture_file(1),
    "a/cat.txt": b"A black cat.",
    "a/dog.jpg": picture_file(2, form="JPEG", quality=100),
    "a/metadata.csv": b"file_name,text\ndog.jpg,A dog\nbird.png,A bird\n",
    "more.jsonl": b'{"file_name": "b/sea.gif", "text": "The sea"}\n{"file_name": "a/cat.png", "text": "Another"}\n',
    "b/sea.gif": picture_file(3, form="GIF"),
    "b/lonely.bmp": picture_file(4, form="BMP"),
    "b/broken.png": picture_file(5)[:-30],
    "b/broken.txt": b"What nobody sees.",
    "b/huge.png": bomb(100_000, 100_000),
    "b/huge.txt": b"A bomb.",
    "b/note.txt": b"No picture has this name.",
    "pages/page.md": b"# Walk\n\nFirst ![a cat](../a/cat.png) then <img src='deep%20sea.webp'> and ![far](http://x.org/y.png) end.\n",
    "pages/deep sea.webp": picture_file(6, form="WEBP", lossless=True),
    "pages/page.html": b"<html><body><p>Look <img src='../b/broken.png' alt='x'>here</p><img src=\"../a/dog.jpg?x=1\"></body></html>",
}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return write(tmp_path / "shelf", SHELF)


CONFIG = IngestConfig(sources=(PicturesSource(paths=(".",)),), shards=1)


def texts_of(output: Path, shards: int = 1) -> dict[str, str]:
    return {json.loads(row["metadata"])["path"]: row["text"] for row in rows(output, "documents", shards)}


def test_captions_and_pages_become_documents_with_their_pictures_in_place(shelf: Path, tmp_path: Path) -> None:
    (metrics,) = read(CONFIG, shelf, tmp_path / "out")
    texts, parts = texts_of(tmp_path / "out"), list(read_parts([tmp_path / "out" / "0" / PARTS]))
    cat = gray(1).placeholder
    assert texts["a/cat.png"] == f"{cat}\n\nA black cat." and texts["b/sea.gif"].endswith("\n\nThe sea")
    page = texts["pages/page.md"]
    assert page.startswith(f"Walk\n\nFirst {cat} a cat then [picture:") and page.endswith("] and  far end.")
    assert len(named_pictures(page)) == 2 and "here" in texts["pages/page.html"] and len(named_pictures(texts["pages/page.html"])) == 1
    assert set(texts) == {"a/cat.png", "a/dog.jpg", "b/sea.gif", "pages/page.md", "pages/page.html"}
    for part in parts:
        if part.picture is not None:
            assert part.picture.placeholder in {t for path, text in texts.items() if document_id("pictures", path) == part.id for t in
                                                map(placeholder, named_pictures(text))}  # fmt: skip
    found = {part.path: part.picture for part in parts if part.picture}
    assert found["a/cat.png"] == gray(1) and np.all(np.frombuffer(found["pages/deep sea.webp"].pixels, "u1").reshape(-1, 3) == 6)
    assert metrics["pictures"] == len({part.picture.name for part in parts if part.picture}) == 4


def test_what_gives_no_document_is_set_aside_by_name_and_nothing_is_lost(shelf: Path, tmp_path: Path) -> None:
    read(CONFIG, shelf, tmp_path / "out")
    reasons = {row["path"]: row["reason"] for row in rows(tmp_path / "out", "quarantine", 1)}
    assert reasons["b/huge.png"] == "too large: 100000 x 100000 pixels, the limit is 16000000"
    assert reasons["b/broken.png"].startswith("damaged picture") and reasons["b/lonely.bmp"].startswith("no caption")
    assert reasons["more.jsonl#a/cat.png"] == "a second caption of a/cat.png"
    assert reasons["a/metadata.csv#bird.png"].startswith("no such picture") and reasons["b/note.txt"].startswith("no picture")
    assert reasons["pages/page.md#http://x.org/y.png"].startswith("a picture elsewhere")
    counted = census(CONFIG, tmp_path / "census", [tmp_path / "out" / "0"], shelf, tmp_path, **limits(tmp_path / "scratch"))
    assert counted["read"] + counted["set_aside"] == len(SHELF) and counted["set_aside"] == 4


def test_shards_hold_the_same_documents_and_pictures_as_one(shelf: Path, tmp_path: Path) -> None:
    read(CONFIG, shelf, tmp_path / "one")
    several = CONFIG.model_copy(update={"shards": 3})
    read(several, shelf, tmp_path / "three")
    assert texts_of(tmp_path / "one") == texts_of(tmp_path / "three", 3)
    quarantined = [Counter(map(str, rows(tmp_path / name, "quarantine", count))) for name, count in (("one", 1), ("three", 3))]
    assert quarantined[0] == quarantined[1]
    whole, parted = ({p for n in range(count) for p in read_parts([tmp_path / name / str(n) / PARTS])} for name, count in
                     (("one", 1), ("three", 3)))  # fmt: skip
    assert whole == parted


def test_a_document_that_is_never_to_be_read_leaves_no_pixel_and_the_census_still_holds(shelf: Path, tmp_path: Path) -> None:
    gone = tuple(document_id("pictures", path) for path in ("a/cat.png", "pages/page.md"))
    config = CONFIG.model_copy(update={"without": gone})
    read(config, shelf, tmp_path / "out")
    assert not {"a/cat.png", "pages/page.md"} & texts_of(tmp_path / "out").keys()
    assert not any(part.picture == gray(1) for part in read_parts([tmp_path / "out" / "0" / PARTS]))
    census(config, tmp_path / "census", [tmp_path / "out" / "0"], shelf, tmp_path, **limits(tmp_path / "scratch"))


def table_file(rows: Sequence[dict[str, Any]], **keys: Any) -> bytes:
    """A Parquet table, as Hugging Face's data sets of pictures are published."""
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), out, **keys)
    return out.getvalue()


def held(content: bytes | None, path: str | None = None) -> dict[str, Any]:
    return {"bytes": content, "path": path}


TABLE = (
    {"image": held(picture_file(1), "cat.png"), "text": "A black cat."},
    {"image": held(picture_file(2, form="JPEG", quality=100)), "text": " A dog "},
    {"image": held(picture_file(5)[:-30]), "text": "What nobody sees."},
    {"image": held(bomb(100_000, 100_000)), "text": "A bomb."},
    {"image": held(picture_file(4)), "text": None},
    {"image": None, "text": "No picture."},
    {"image": held(None, "b/sea.gif"), "text": "The sea"},
    {"image": held(None, "b/gone.gif"), "text": "What was there"},
)
HELD = {"set.parquet": table_file(TABLE, row_group_size=3), "b/sea.gif": picture_file(3, form="GIF")}
IN_TABLES = IngestConfig(sources=(PicturesSource(paths=(".",), path_field="image"),), shards=1)


def test_pictures_that_a_parquet_table_holds_are_documents_and_each_other_row_has_its_reason(tmp_path: Path) -> None:
    root = write(tmp_path / "set", HELD)
    read(IN_TABLES, root, tmp_path / "out")
    texts = texts_of(tmp_path / "out")
    assert texts.pop("b/sea.gif").endswith("\n\nThe sea")
    assert texts == {"set.parquet#1": f"{gray(1).placeholder}\n\nA black cat.", "set.parquet#2": f"{gray(2).placeholder}\n\nA dog"}
    reasons = {row["path"]: row["reason"] for row in rows(tmp_path / "out", "quarantine", 1)}
    assert reasons.pop("set.parquet#3").startswith("damaged picture")
    assert reasons == {
        "set.parquet#4": "too large: 100000 x 100000 pixels, the limit is 16000000",
        "set.parquet#5": "no caption: field 'text' of the row says nothing",
        "set.parquet#6": "empty: field 'image' of the row holds no file",
        "set.parquet#8": "no such picture: the table names it, and no file of this name is there",
    }
    counted = census(IN_TABLES, tmp_path / "census", [tmp_path / "out" / "0"], root, tmp_path, **limits(tmp_path / "scratch"))
    assert counted["read"] == len(HELD)


@pytest.mark.parametrize("of", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
def test_a_column_of_bytes_holds_pictures_whatever_its_type_and_names_them_by_row_in_any_shard(of: pa.DataType, tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([picture_file(shade) for shade in range(9)], of), "text": [f"Shade {n}" for n in range(9)]})
    root = tmp_path / "set"
    root.mkdir()
    pq.write_table(table, root / "set.parquet", row_group_size=4)
    several = IN_TABLES.model_copy(update={"shards": 3})
    read(IN_TABLES, root, tmp_path / "one")
    read(several, root, tmp_path / "three")
    expected = {f"set.parquet#{n + 1}": f"{gray(n).placeholder}\n\nShade {n}" for n in range(9)}
    assert texts_of(tmp_path / "one") == texts_of(tmp_path / "three", 3) == expected


def test_a_row_that_is_never_to_be_read_leaves_no_pixel(tmp_path: Path) -> None:
    root = write(tmp_path / "set", HELD)
    config = IN_TABLES.model_copy(update={"without": (document_id("pictures", "set.parquet#1"),)})
    read(config, root, tmp_path / "out")
    assert "set.parquet#1" not in texts_of(tmp_path / "out")
    assert not any(part.picture == gray(1) for part in read_parts([tmp_path / "out" / "0" / PARTS]))
    census(config, tmp_path / "census", [tmp_path / "out" / "0"], root, tmp_path, **limits(tmp_path / "scratch"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (table_file([{"picture": held(picture_file(1)), "text": "A cat"}]), "no such column: image; it has picture, text"),
        (table_file([{"image": 7, "text": "A cat"}]), "no file and no path: column 'image' holds int64"),
        (table_file([{"image": {"data": b"x"}, "text": "A cat"}]), "no file and no path: column 'image' holds struct<data: binary>"),
        (table_file([{"image": held(picture_file(1)), "text": 7}]), "no text: column 'text' holds int64"),
        (table_file(TABLE)[:-9], "damaged parquet"),
        (b"PAR1" * 20, "damaged parquet"),
    ],
)
def test_a_table_that_holds_no_pictures_is_set_aside_by_name(content: bytes, reason: str, tmp_path: Path) -> None:
    root = write(tmp_path / "set", {"set.parquet": content, "cat.png": picture_file(9), "cat.txt": b"A cat."})
    read(IN_TABLES, root, tmp_path / "out")
    assert [(row["path"], row["reason"][: len(reason)]) for row in rows(tmp_path / "out", "quarantine", 1)] == [("set.parquet", reason)]
    assert list(texts_of(tmp_path / "out")) == ["cat.png"]


def test_a_table_that_changes_after_the_key_was_made_is_refused_even_if_it_looks_damaged_then(tmp_path: Path) -> None:
    root = write(tmp_path / "set", HELD)
    state = source_state(IN_TABLES, root, None, digests)
    (root / "set.parquet").write_bytes(HELD["set.parquet"][:-9])
    with pytest.raises(SourceError, match=r"set\.parquet"):
        ingest(IN_TABLES, tmp_path / "out", IngestInputs(root, root, None, state), Shard(0, 1), **limits(tmp_path / "scratch"))


def book_file(body: str, pictures: dict[str, bytes], more: dict[str, str] | None = None) -> bytes:
    """An EPUB of one chapter, OPS/text/one.xhtml, with pictures under these names."""
    content = epub({"text/one": f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'}, more=more)
    out = io.BytesIO(content)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as book:
        for name, picture in pictures.items():
            book.writestr(name, picture)
    return out.getvalue()


COVER = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="../img/a%20cat.png"/></svg>'
LOCKED = (
    '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData>'
    '<enc:CipherData><enc:CipherReference URI="OPS/img/locked.png"/></enc:CipherData></enc:EncryptedData></encryption>'
)


def test_a_book_has_its_pictures_where_its_pages_show_them_and_each_other_one_has_its_reason(tmp_path: Path) -> None:
    names = ("dog.jpg", "huge.png", "gone.png", "locked.png", "draft.svg", "cut.png", "dog.jpg")
    shown = "".join(f'<p>{name}: <img src="../img/{name}" alt="x"/>.</p>' for name in names)
    body = f'<div>{COVER}</div>{shown}<p><img src="http://x.org/y.png"/><img src="../../../../etc/passwd"/>end</p>'
    pictures = {
        "OPS/img/a cat.png": picture_file(1), "OPS/img/dog.jpg": picture_file(2, form="JPEG", quality=100),
        "OPS/img/huge.png": bomb(100_000, 100_000), "OPS/img/cut.png": picture_file(5)[:-30], "OPS/img/locked.png": picture_file(6),
        "OPS/img/draft.svg": b"<svg/>", "OPS/img/lonely.png": picture_file(7),
    }  # fmt: skip
    root = write(tmp_path / "shelf", {"book.epub": book_file(body, pictures, {"META-INF/encryption.xml": LOCKED})})
    (metrics,) = read(CONFIG, root, tmp_path / "out")
    cat, dog = gray(1).placeholder, gray(2).placeholder
    assert texts_of(tmp_path / "out") == {
        "book.epub": f"{cat}\n\ndog.jpg: {dog}.\n\n" + "".join(f"{name}: .\n\n" for name in names[1:-1]) + f"dog.jpg: {dog}.\n\nend"
    }
    kept = {part.path: part.picture for part in read_parts([tmp_path / "out" / "0" / PARTS])}
    assert kept == {"book.epub#OPS/img/a cat.png": gray(1), "book.epub#OPS/img/dog.jpg": gray(2)} and metrics["pictures"] == 2
    reasons = {row["path"].removeprefix("book.epub#"): row["reason"] for row in rows(tmp_path / "out", "quarantine", 1)}
    assert reasons.pop("OPS/img/cut.png").startswith("damaged picture") and reasons.pop("OPS/img/draft.svg").startswith("no picture")
    assert {name: reason for name, reason in reasons.items() if name not in ("words in attributes", "tables of contents")} == {
        "OPS/img/huge.png": "too large: 100000 x 100000 pixels, the limit is 16000000",
        "OPS/img/gone.png": "damaged epub: OPS/img/gone.png is missing",
        "OPS/img/locked.png": "encrypted: OPS/img/locked.png",
        "http://x.org/y.png": "a picture elsewhere: of a book its own are read",
        "../../etc/passwd": "damaged epub: ../../etc/passwd is missing",
        "pictures that no page shows": f"not read: pictures that no page shows, {len(picture_file(7))} bytes in 1 place, "
        "OPS/img/lonely.png",
    }  # fmt: skip
    counted = census(CONFIG, tmp_path / "census", [tmp_path / "out" / "0"], root, tmp_path, **limits(tmp_path / "scratch"))
    assert counted["read"] == 1 and counted["set_aside"] == 0


def test_pictures_of_a_book_come_to_no_more_bytes_than_a_document_may_have(tmp_path: Path) -> None:
    packed_to_half = bytes(byte & 15 for byte in random.Random(3).randbytes(700 * 800))
    large = io.BytesIO()
    Image.frombytes("L", (700, 800), packed_to_half).save(large, "PNG", compress_level=0)
    pictures = {f"OPS/{name}.png": large.getvalue() + bytes([number]) for number, name in enumerate("ab")}
    config = CONFIG.model_copy(update={"max_file_megabytes": 1})
    root = write(tmp_path / "shelf", {"book.epub": book_file('<p>Two <img src="../a.png"/> and <img src="../b.png"/></p>', pictures)})
    read(config, root, tmp_path / "out")
    reasons = {row["path"]: row["reason"] for row in rows(tmp_path / "out", "quarantine", 1)}
    assert reasons.get("book.epub#OPS/b.png", "").startswith("too large: with it the book's pictures are")


def test_shards_hold_the_same_books_as_one_and_one_never_to_be_read_leaves_no_pixel(tmp_path: Path) -> None:
    books = {f"{n}.epub": book_file(f'<p>Book {n} <img src="../a.png"/></p>', {"OPS/a.png": picture_file(n)}) for n in range(6)}
    root = write(tmp_path / "shelf", books)
    config = CONFIG.model_copy(update={"without": (document_id("pictures", "2.epub"),)})
    read(config, root, tmp_path / "one")
    read(config.model_copy(update={"shards": 3}), root, tmp_path / "three")
    expected = {f"{n}.epub": f"Book {n} {gray(n).placeholder}" for n in range(6) if n != 2}
    assert texts_of(tmp_path / "one") == texts_of(tmp_path / "three", 3) == expected
    assert {part.picture for part in read_parts([tmp_path / "one" / "0" / PARTS])} == {gray(n) for n in range(6) if n != 2}
    for shards, name in ((1, "one"), (3, "three")):
        folders = [tmp_path / name / str(number) for number in range(shards)]
        census(config, tmp_path / "census", folders, root, tmp_path, **limits(tmp_path / "scratch"))


def test_a_book_of_broken_pictures_alone_is_set_aside_and_sources_of_texts_read_books_without_any(tmp_path: Path) -> None:
    root = write(tmp_path / "shelf", {"book.epub": book_file('<img src="../a.png"/>', {"OPS/a.png": b"none"}), "a.md": b"Words."})
    read(CONFIG, root, tmp_path / "out")
    reasons = {row["path"]: row["reason"] for row in rows(tmp_path / "out", "quarantine", 1)}
    assert reasons["book.epub"] == "no text: it holds pictures alone, and none of them can be read"
    (root / "book.epub").write_bytes(book_file('<p>A <img src="../a.png"/>cat</p>', {"OPS/a.png": b"x"}))
    assert read_all(root, tmp_path, formats=("epub",)).texts == {"book.epub": "A cat"}


def test_a_picture_that_changes_after_the_key_was_made_is_refused(shelf: Path, tmp_path: Path) -> None:
    state = source_state(CONFIG, shelf, Shard(0, 1), digests)
    assert state["pictures/a/cat.png"] and len(state) == len(SHELF)
    (shelf / "a/cat.png").write_bytes(picture_file(9))
    with pytest.raises(SourceError, match=r"pictures/a/cat\.png changed after this run began"):
        ingest(CONFIG, tmp_path / "out", IngestInputs(shelf, shelf, observed=state), Shard(0, 1), **limits(tmp_path / "scratch"))


def test_pixels_are_kept_as_shown_without_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter
    exif[0x010E] = "taken at home"
    clear = io.BytesIO()
    Image.new("RGBA", (2, 1), (0, 0, 0, 0)).save(clear, "PNG")
    deep = io.BytesIO()
    Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.uint16)).save(deep, "PNG")
    files = {"turned.jpg": picture_file(7, form="JPEG", exif=exif), "clear.png": clear.getvalue(), "deep.png": deep.getvalue()}
    moving = io.BytesIO()
    Image.new("L", (2, 2), 1).save(moving, "GIF", save_all=True, append_images=[Image.new("L", (2, 2), n) for n in (90, 200)])
    files |= {"moving.gif": moving.getvalue()} | {f"{name}.txt": b"A picture." for name in ("turned", "clear", "deep", "moving")}
    read(CONFIG, write(tmp_path / "shelf", files), tmp_path / "out")
    found = {part.path: part.picture for part in read_parts([tmp_path / "out" / "0" / PARTS]) if part.picture}
    assert (found["turned.jpg"].width, found["turned.jpg"].height) == (4, 6)
    assert found["clear.png"] == Picture("RGB", 2, 1, b"\xff" * 6) and found["deep.png"].pixels == b"\x00\x80\xff"
    assert b"home" not in (tmp_path / "out" / "0" / PARTS).read_bytes()
    (told,) = rows(tmp_path / "out", "quarantine", 1)
    assert told["path"].startswith("moving.gif#") and "frames after the first, 2 frames" in told["reason"]


def moving_file(form: str, shades: Sequence[int], size: tuple[int, int] = (6, 4)) -> bytes:
    """A moving picture, a frame of each shade."""
    out = io.BytesIO()
    first, *others = [Image.new("RGB", size, (shade, 9, 200)) for shade in shades]
    keys: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    first.save(out, form, save_all=True, append_images=others, **keys)
    return out.getvalue()


WATCHED = CONFIG.model_copy(update={"sources": (PicturesSource(paths=(".",), frames=3),)})


def test_as_many_frames_are_read_as_the_source_says_and_the_rest_is_set_aside(tmp_path: Path) -> None:
    shades = [10, 120, 240, 70]
    forms = {"gif": "GIF", "png": "PNG", "webp": "WEBP", "tiff": "TIFF"}
    files = {f"{name}.{ending}": moving_file(form, shades) for name, (ending, form) in zip("abcd", forms.items(), strict=True)}
    files |= {"short.gif": moving_file("GIF", shades[:2]), "still.png": picture_file(5)}
    files |= {f"{name}.txt": b"It moves." for name in ("a", "b", "c", "d", "short", "still")}
    read(WATCHED, write(tmp_path / "shelf", files), tmp_path / "out")
    found = {part.path: part.picture for part in read_parts([tmp_path / "out" / "0" / PARTS]) if part.picture}
    for path, picture in found.items():
        assert picture.frames == {"short.gif": 2, "still.png": 1}.get(path, 3), path
        if picture.mode == "RGB":
            assert [still[0] for still in picture.stills] == pytest.approx(shades[: picture.frames], abs=2), path
    told = {row["path"].partition("#")[0]: row["reason"] for row in rows(tmp_path / "out", "quarantine", 1)}
    assert set(told) == {path for path in found if path[0] in "abcd"} and len(found) == 6
    assert all("frames after the first 3, 1 frames" in reason for reason in told.values())


def test_moving_pictures_that_are_too_large_together_or_damaged_are_set_aside_by_name(tmp_path: Path) -> None:
    draw = random.Random(5)
    whole = [moving_file(form, (10, 120, 240), (9, 9)) for form in ("GIF", "PNG", "WEBP", "TIFF")]
    files: dict[str, bytes] = {"large.gif": moving_file("GIF", (1, 99, 200), (700, 700)), "large.txt": b"Together."}
    for number in range(100):
        content = bytearray(draw.choice(whole))
        for _ in range(draw.randrange(1, 9)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        files[f"{number}.gif"] = bytes(content[: draw.randrange(1, len(content) + 1)] if draw.random() < 0.3 else content)
        files[f"{number}.txt"] = b"It moves."
    small = IngestConfig(sources=(PicturesSource(paths=(".",), frames=3, max_megapixels=1),), shards=1)
    (metrics,) = read(small, write(tmp_path / "shelf", files), tmp_path / "out")
    reasons = {row["path"].partition("#")[0]: row["reason"] for row in rows(tmp_path / "out", "quarantine", 1)}
    assert reasons["large.gif"] == "too large: 3 frames of 700 x 700 pixels, the limit is 1000000"
    assert metrics["documents"] > 10 and len(reasons.keys() | texts_of(tmp_path / "out").keys()) == 101
    census(small, tmp_path / "census", [tmp_path / "out" / "0"], tmp_path / "shelf", tmp_path, **limits(tmp_path / "scratch"))


def test_two_hundred_damaged_files_are_each_read_or_set_aside(tmp_path: Path) -> None:
    draw = random.Random(4)
    whole = [picture_file(90, (9, 9), form, "RGB") for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")]
    files: dict[str, bytes] = {}
    for number in range(200):
        content = bytearray(draw.choice(whole))
        for _ in range(draw.randrange(1, 9)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        files[f"{number}.png"] = bytes(content[: draw.randrange(1, len(content) + 1)] if draw.random() < 0.3 else content)
        files[f"{number}.txt"] = b"A picture."
    shelf = write(tmp_path / "shelf", files)
    (metrics,) = read(CONFIG, shelf, tmp_path / "out")
    aside = {row["path"].partition("#")[0] for row in rows(tmp_path / "out", "quarantine", 1)}
    assert metrics["documents"] > 10 and len(aside) > 50 and len(aside | texts_of(tmp_path / "out").keys()) == 200
    census(CONFIG, tmp_path / "census", [tmp_path / "out" / "0"], shelf, tmp_path, **limits(tmp_path / "scratch"))


def test_cleaning_by_its_defaults_leaves_every_placeholder_as_it_is(tmp_path: Path) -> None:
    """Names are words that no language has, on lines of their own, which rules for pages, columns and scans look for."""
    names = [gray(shade).placeholder for shade in range(60)]
    (tmp_path / "in").mkdir()
    with DocumentWriter(tmp_path / "in" / "documents.parquet") as writer:
        for number, name in enumerate(names):
            text = (
                f"{name}\n\n"
                + f"A caption that goes on for a while, number {number} of them.\n" * 5
                + f"\nin a line {name} here\n{names[0]}"
            )
            row = {"id": f"{number:016x}", "title": "t", "source": "s", "text": text, "metadata": "{}", "synthetic": False}
            writer.write(row)
    config = CleanConfig(digits=True, long_s=True, stamps=True, roman_numbers=True)
    clean(tmp_path / "in" / "documents.parquet", tmp_path / "out", config, **limits(tmp_path / "scratch"))
    cleaned = pq.read_table(tmp_path / "out" / "documents.parquet").to_pylist()
    assert [named_pictures(row["text"]) for row in cleaned] == [[*[n[9:-1]] * 2, names[0][9:-1]] for n in names]


def test_scikit_learns_digits_are_a_collection_of_captioned_pictures(tmp_path: Path) -> None:
    config = IngestConfig(sources=(PicturesSource(name="digits", collection="digits"),), shards=2)
    assert not config.has_entries and "scikit-learn" in str(source_state(config, tmp_path, Shard(0, 2), digests))
    counted = read(config, tmp_path, tmp_path / "out")
    texts = texts_of(tmp_path / "out", 2)
    assert sum(one["documents"] for one in counted) == len(texts) == 1797 and texts["0000"].endswith("]\n\nzero")
    pictures = [part.picture for n in range(2) for part in read_parts([tmp_path / "out" / str(n) / PARTS])]
    assert all(p and (p.mode, p.width, p.height) == ("L", 8, 8) and max(p.pixels) > 200 for p in pictures)


def test_words_that_look_like_a_placeholder_of_no_known_picture_stay_words() -> None:
    known, other = gray(1), gray(2)
    text = f"one {known.placeholder} two {other.placeholder}"
    assert list(divide(text, {known.name})) == [("one ", ""), ("", known.name), (f" two {other.placeholder}", "")]
    assert without_pictures(text) == "one  two " and Part("a", "b", "c").picture is None


@pytest.mark.parametrize("keys", [{}, {"paths": ("a",), "collection": "digits"}])
def test_a_source_of_pictures_reads_a_folder_or_a_collection(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="has one of them, not both"):
        PicturesSource(**keys)

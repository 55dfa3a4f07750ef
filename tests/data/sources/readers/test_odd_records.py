"""Files of records with an odd record among them: it costs itself alone, and is told."""

from __future__ import annotations

import gzip
import io
import json
import time
import zlib
from pathlib import Path

import pytest

from data.sources.readers.delimited import read_json
from data.sources.readers.mbox import read_mbox
from data.sources.readers.record import ReaderOptions, Record
from tests.data.sources.material import prose
from tests.data.sources.reading import read_all, write

FROM = b"From ann@mill.org Mon Jan  1 00:00:00 2024\n"


def test_a_mail_of_one_long_line_that_begins_as_a_mail_does_is_read_at_once() -> None:
    box = FROM + b"\nIt is lit.\n\nFrom " + b"a" * 100_000 + b"\n"
    started = time.process_time()
    (mail,) = read_mbox(io.BytesIO(box), ReaderOptions(), lambda _: True)
    assert len(getattr(mail, "text", "")) > 100_000 and time.process_time() - started < 1


def _mail(body: bytes, kind: bytes = b"text/plain", head: bytes = b"") -> bytes:
    return FROM + b"Subject: The light\nMIME-Version: 1.0\n" + head + b"Content-Type: " + kind + b"\n\n" + body + b"\n\n"


def test_an_odd_mail_costs_itself_alone(tmp_path: Path) -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (k, k) for k in range(2000))
    box = _mail(b"It is lit.") + _mail(b"<!-- x -->", b"text/html") + FROM + deep + b"\n\n" + _mail(b"<p>It is out.</p>", b"text/html")
    found = read_all(write(tmp_path / "shelf", {"a.mbox": box}), tmp_path / "out", shards=2)
    assert found.texts == {"a.mbox#1": "It is lit.", "a.mbox#4": "It is out."}
    assert found.reasons["a.mbox#2"] == "empty: a message without words" and "a.mbox#3" in found.reasons


def test_numbers_of_any_size_in_json_are_no_damage_and_a_whole_record_keeps_them(tmp_path: Path) -> None:
    rows = f'[{{"text": "One.", "n": {2**64}, "x": 0.1}}, {{"text": "Two.", "n": -{10**30}, "x": 1e3}}, 2.5]'
    found = read_all(write(tmp_path / "shelf", {"a.json": rows.encode()}), tmp_path / "out")
    assert found.texts == {"a.json#1": "One.", "a.json#2": "Two."}
    assert found.reasons == {"a.json#3": "broken record: not a JSON object but a float"}
    whole = list(read_json(io.BytesIO(rows.encode()), ReaderOptions(whole=True), lambda _: True))
    assert [json.loads(one.text) for one in whole if isinstance(one, Record)] == json.loads(rows)[:2]


def test_a_page_of_a_wiki_whose_id_another_has_is_told_under_a_name_of_its_own(tmp_path: Path) -> None:
    pages = "".join(
        f"<page><title>{title}</title><ns>0</ns>{identity}<revision><id>9</id><text>{title} is here.</text></revision></page>"
        for title, identity in {"A": "<id>7</id>", "B": "<id>7</id>", "C": "<id>8</id>", "D": "", "E": "<id>page 4</id>"}.items()
    )
    found = read_all(write(tmp_path / "shelf", {"w.xml": f"<mediawiki>{pages}</mediawiki>".encode()}), tmp_path / "out", shards=3)
    assert found.texts == {
        f"w.xml#{name}": f"{title} is here." for name, title in {"7": "A", "8": "C", "page 4": "D", "page 5": "E"}.items()
    }
    assert found.reasons == {"w.xml#page 2": "broken record: another page has the id 7, too"}


def _answer(body: bytes, head: bytes, more: bytes = b"") -> bytes:
    content = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + head + b"\r\n" + body
    opening = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.org/\r\nWARC-Date: 2020-01-01T00:00:00Z\r\n" + more
    return (
        opening + b"Content-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n" % len(content) + content + b"\r\n\r\n"
    )


def test_a_body_that_is_cut_off_inside_a_whole_record_is_told_and_not_kept_in_part(tmp_path: Path) -> None:
    text = prose("web").encode()
    packed, gz, chunked = gzip.compress(text), b"Content-Encoding: gzip\r\n", b"Transfer-Encoding: chunked\r\n"
    chunks = b"".join(b"%x;a=b\r\n" % len(part) + part + b"\r\n" for part in (text[:100], text[100:]))
    deflated = zlib.compress(text)
    damaged = packed[:120] + bytes(20) + packed[140:]
    whole = [
        _answer(packed, gz), _answer(chunks + b"0\r\n\r\n", chunked), _answer(chunks + b"0\r\nA: b\r\n\r\n", chunked), _answer(text, gz),
        _answer(text, chunked), _answer(deflated[2:-4], b"Content-Encoding: deflate\r\n"),
    ]  # fmt: skip
    cut = [
        _answer(packed[:-20], gz), _answer(damaged, gz), _answer(chunks, chunked), _answer(chunks[:-50], chunked),
        _answer(text[:99], b"", b"WARC-Truncated: length\r\n"), _answer(deflated[:-20], b"Content-Encoding: deflate\r\n"),
    ]  # fmt: skip
    found = read_all(write(tmp_path / "shelf", {"a.warc": b"".join(whole + cut)}), tmp_path / "out", shards=2)
    assert found.texts == {f"a.warc#{number}": text.decode() for number in range(1, 7)}
    assert set(found.reasons) == {f"a.warc#{number}" for number in range(7, 13)}
    kinds = ("cut off: ", "damaged record: its body is cut off", "binary")
    assert all(reason.startswith(kinds) for reason in found.reasons.values())


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_an_object_that_names_a_field_twice_is_set_aside_at_any_depth(tmp_path: Path, ending: str) -> None:
    objects = ('{"doc": {"text": "One."}, "id": "a"}', '{"doc": {"text": "Two.", "text": "Three."}, "id": "b"}')
    joined = f"[{', '.join(objects)}]" if ending == "json" else "\n".join(objects)
    found = read_all(write(tmp_path / "shelf", {f"x.{ending}": joined.encode()}), tmp_path / "out", text_field="doc.text", id_field="id")
    assert list(found.texts.values()) == ["One."]
    assert [reason for reason in found.reasons.values() if "2 fields are called 'text'" in reason]

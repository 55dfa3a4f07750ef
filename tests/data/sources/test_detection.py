"""What a file is, is told from its first bytes, in a time that no content can stretch."""

from __future__ import annotations

import time

import pytest

from data.sources.decode import HEAD, detect_type

COMMENTS = b"<!-- a -->\n" * 5000
LONG = {
    "comments": COMMENTS + b"A text.",
    "comments without space": b"<!---->" * 5000 + b"A text.",
    "an open comment": COMMENTS + b"<!-- ",
    "comments of XML": b'<?xml version="1.0"?>' + COMMENTS,
    "instructions of XML": b'<?xml version="1.0"?>' + b"<?a <!-- ?><!-- -->" * 3000,
    "types of XML": b'<?xml version="1.0"?>' + b"<!DOCTYPE a [ ] > " * 3000,
    "a mail": b"From " + b"a" * 50_000,
}


@pytest.mark.parametrize("name", LONG)
def test_no_beginning_of_a_file_takes_long_to_tell(name: str) -> None:
    started = time.process_time()
    assert detect_type(LONG[name]) in ("", "xml")
    assert detect_type(LONG[name][:HEAD]) in ("", "xml")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("root", "kind"), [(b"<!DOCTYPE html><p>", "html"), (b"<html lang='en'>", "html"), (b"<TEI>", "tei"), (b"<x:mediawiki>", "mediawiki")]
)
def test_a_root_element_is_found_behind_comments(root: bytes, kind: str) -> None:
    head = b'<?xml version="1.0"?>\n' if kind != "html" else b""
    assert detect_type(head + b"<!-- a > b -- -->\n <!---->" + root) == kind

"""Documents whose markup is right and rarely seen: no word of their author is lost, and what is left out is told."""

from __future__ import annotations

import io
import time

from data.sources.readers.parsing.record import ReaderOptions, ReaderOutput
from data.sources.readers.registry import READERS


def _read(kind: str, content: str) -> list[ReaderOutput]:
    return list(READERS[kind](io.BytesIO(content.encode()), ReaderOptions(), lambda _: True))


def test_a_page_of_blank_lines_in_latex_is_read_at_once() -> None:
    started = time.process_time()
    (record,) = _read("tex", "It is lit." + "\n" * 50_000 + "It is out.")
    assert getattr(record, "text", "") == "It is lit.\n\nIt is out." and time.process_time() - started < 5

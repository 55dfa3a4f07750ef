"""Files of records with an odd record among them: it costs itself alone, and is told."""

from __future__ import annotations

import io
import time

from data.sources.readers.parsing.record import ReaderOptions
from data.sources.readers.records.mbox import read_mbox

FROM = b"From ann@mill.org Mon Jan  1 00:00:00 2024\n"


def test_a_mail_of_one_long_line_that_begins_as_a_mail_does_is_read_at_once() -> None:
    box = FROM + b"\nIt is lit.\n\nFrom " + b"a" * 100_000 + b"\n"
    started = time.process_time()
    (mail,) = read_mbox(io.BytesIO(box), ReaderOptions(), lambda _: True)
    assert len(getattr(mail, "text", "")) > 100_000 and time.process_time() - started < 1

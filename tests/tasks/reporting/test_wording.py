"""Numbers and lists read as people write them."""

from __future__ import annotations

import pytest

from tasks.reporting.wording import joined, model_form, number, plural, rough, seconds, share, size

WORDED = [
    (share(0.931), "93.1 %"),
    (share(0.99996), "100.00 %"),
    (share(1.0), "100 %"),
    (share(0.00005), "0.005 %"),
    (rough(1_234_567), "1.23 million"),
    (size(4_810_000), "4.81 MB"),
    (number(2048.0), "2,048"),
    (number(0.24453), "0.2445"),
    (seconds(4.31), "4.3 s"),
    (seconds(75), "1:15 min"),
    (seconds(3700), "1:01:40 h"),
    (plural(1, "book"), "1 book"),
    (model_form("int8"), "INT8"),
    (model_form("q4_k_m"), "Q4_K_M"),
    (model_form("chat"), "chat"),
    (joined(["a", "b", "c"]), "a, b and c"),
]


@pytest.mark.parametrize(("said", "meant"), WORDED)
def test_numbers_read_as_people_write_them(said: str, meant: str) -> None:
    assert said == meant

"""Drawings, rows of tables and cards are kept on disk, change no byte of the page, and a fault of the cache costs only time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from markupsafe import Markup

from tasks.reporting import page_cache
from tasks.reporting.charts import Bar
from tasks.reporting.headline import lineage_notice
from tasks.reporting.page import render
from tasks.reporting.page_cache import cached, cached_rows, kept_text, use_page_cache
from tasks.reporting.summary import RunSummary
from tests.tasks.reporting.example_run import RunMaker, whole_run

drawn: list[object] = []


@pytest.fixture(autouse=True)
def nothing_drawn() -> None:
    drawn.clear()


def square(bars: list[Bar], *, width: float) -> Markup:
    """Draw something, and note it."""
    drawn.append((bars, width))
    return Markup(f"<svg>{bars[0].label} ü {width}</svg>")


def draw(folder: Path, label: str = "a", width: float = 1.0) -> Markup:
    with use_page_cache(folder):
        return cached(square, [Bar(label, 1, "1")], width=width)


def test_a_drawing_is_made_once_for_each_function_and_arguments(tmp_path: Path) -> None:
    first = draw(tmp_path)
    again = draw(tmp_path)
    assert first == again and type(again) is Markup and len(drawn) == 1
    assert draw(tmp_path, "b") != first and draw(tmp_path, width=2.0) != first and len(drawn) == 3
    assert cached(square, [Bar("a", 1, "1")], width=1.0) == first and len(drawn) == 4, "outside of the block nothing is cached"


def test_the_page_has_the_same_bytes_without_a_cache_and_with_an_empty_or_a_full_one(maker: RunMaker, tmp_path: Path) -> None:
    whole_run(maker)
    summary = RunSummary.of(maker.run)
    pages = [(render(summary), lineage_notice(summary))]
    for _ in range(2):
        with use_page_cache(tmp_path / "drawings"):
            pages.append((render(summary), lineage_notice(summary)))
    assert pages[0] == pages[1] == pages[2]
    assert len(list((tmp_path / "drawings").iterdir())) > 10


PROGRAM = """
import json, sys
from pathlib import Path
from tasks.reporting.page_cache import use_page_cache
from tasks.reporting.page import render
from tasks.reporting.summary import RunSummary
from tests.tasks.reporting.example_run import RunMaker, whole_run

maker = RunMaker(Path(sys.argv[1]))
whole_run(maker)
with use_page_cache(Path(sys.argv[2])):
    page = render(RunSummary.of(maker.run))
print(json.dumps([page.count("<svg"), sorted({"matplotlib", "networkx", "pyarrow"} & set(sys.modules))]))
"""


@pytest.mark.slow
def test_drawing_everything_from_the_cache_imports_no_library_for_it(maker: RunMaker, tmp_path: Path) -> None:
    whole_run(maker)
    with use_page_cache(tmp_path / "drawings"):
        page = render(RunSummary.of(maker.run))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "other"), str(tmp_path / "drawings")]
    assert json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) == [page.count("<svg"), []]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_truncate, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"\xff\n\xff")])
def test_a_damaged_drawing_is_drawn_again_and_mended(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    whole = draw(tmp_path)
    (kept,) = tmp_path.iterdir()
    content = kept.read_bytes()
    damage(kept)
    assert draw(tmp_path) == whole and len(drawn) == 2
    assert kept.read_bytes() == content and [path.name for path in tmp_path.iterdir()] == [kept.name]


def test_a_drawing_that_cannot_be_read_or_replaced_is_drawn_again(tmp_path: Path) -> None:
    whole = draw(tmp_path)
    (kept,) = tmp_path.iterdir()
    _replace_by_folder(kept)
    assert draw(tmp_path) == whole and len(drawn) == 2


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "drawings").write_text("in the way")
    assert draw(tmp_path / "drawings") == draw(tmp_path / "other")


def test_the_drawings_used_longest_ago_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "MOST_KEPT", 3)
    for age, label in enumerate("abc"):
        before = set(tmp_path.iterdir())
        draw(tmp_path, label)
        (made,) = set(tmp_path.iterdir()) - before
        os.utime(made, (1000 + age, 1000 + age))
    draw(tmp_path, "a")
    draw(tmp_path, "d")
    assert len(list(tmp_path.iterdir())) == 3
    drawn.clear()
    for label in "acd":
        draw(tmp_path, label)
    assert not drawn
    draw(tmp_path, "b")
    assert len(drawn) == 1


def test_other_code_or_another_version_of_a_library_draws_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = page_cache._maker.__wrapped__
    known = {hashed()}
    drawing = {f"tasks/reporting/{name}.py" for name in ("charts", "svg", "lineage_drawing", "cleaning")}
    assert drawing | set(page_cache.CALLED) <= page_cache.SOURCES.keys()
    for name, source in page_cache.SOURCES.items():
        with monkeypatch.context() as patch:
            patch.setitem(page_cache.SOURCES, name, source + "#")
            known.add(hashed())
    for library in page_cache.LIBRARIES:
        with monkeypatch.context() as patch:
            patch.setattr(page_cache, "version", lambda name, library=library: "0" if name == library else "1")
            known.add(hashed())
    assert {"matplotlib", "networkx", "jinja2"} <= set(page_cache.LIBRARIES)
    assert len(known) == 1 + len(page_cache.SOURCES) + len(page_cache.LIBRARIES)


def rows_in(stream: IO[bytes], most: int) -> list[dict[str, Any]]:
    """Read something, and note it."""
    drawn.append(most)
    return [{"text": line.decode()} for line in stream.read().splitlines()[:most]]


def test_rows_are_read_once_for_each_content_reader_and_argument(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("one ü\ntwo\n")

    def read(digest: str, most: int) -> list[dict[str, Any]]:
        with use_page_cache(tmp_path / "kept"):
            return cached_rows(rows_in, table, digest, most)

    assert read("a", 1) == read("a", 1) == [{"text": "one ü"}] and drawn == [1]
    assert read("a", 2) == [{"text": "one ü"}, {"text": "two"}] and drawn == [1, 2]
    table.write_text("three\n")
    assert read("a", 2)[1] == {"text": "two"} and read("b", 2) == [{"text": "three"}] and drawn == [1, 2, 2]
    assert "one ü".encode() in b"".join(path.read_bytes() for path in (tmp_path / "kept").iterdir()), "a search for the words finds it"
    for kept in (tmp_path / "kept").iterdir():
        kept.write_bytes(kept.read_bytes()[:-2])
    assert read("b", 2) == [{"text": "three"}] and drawn == [1, 2, 2, 2]
    assert cached_rows(rows_in, table, "b", 2) == [{"text": "three"}] and len(drawn) == 5, "outside of the block nothing is cached"


def test_a_card_is_made_once_for_a_release_and_what_became_of_it(tmp_path: Path) -> None:
    def card(release: str, account: dict[str, Any]) -> str:
        def made() -> str:
            drawn.append(account)
            return f"{release}: {account}"

        with use_page_cache(tmp_path):
            return kept_text("card", [release, account], made)

    assert card("a", {"hours": 1}) == card("a", {"hours": 1}) and len(drawn) == 1
    assert card("a", {"hours": 2}) == "a: {'hours': 2}" and card("b", {"hours": 1}) == "b: {'hours': 1}" and len(drawn) == 3


def test_a_failed_drawing_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(IndexError), use_page_cache(tmp_path):
        cached(square, [], width=1.0)
    assert not list(tmp_path.iterdir())

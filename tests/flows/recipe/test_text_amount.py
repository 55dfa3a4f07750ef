"""How much text files hold is read from a few of them where their bytes are not their text."""

from __future__ import annotations

from pathlib import Path

from flows.recipe.sizing import FILES_READ, TextAmount, estimate_texts
from tests.data.sources.material import locked_pdf, page, pdf, prose


def _made(folder: Path, files: dict[str, bytes]) -> list[TextAmount]:
    paths = []
    for name, content in files.items():
        (folder / name).write_bytes(content)
        paths.append(folder / name)
    return estimate_texts(paths)


def test_a_text_file_holds_its_bytes(tmp_path: Path) -> None:
    assert _made(tmp_path, {"a.txt": b"x" * 1234, "b.md": b"y" * 10, "c.txt": b""}) == [(1, 1234), (1, 10), (1, 0)]


def test_a_pdf_holds_the_text_that_its_reader_finds(tmp_path: Path) -> None:
    pages = [prose(f"page {number}") for number in range(30)]
    (found,) = _made(tmp_path, {"book.pdf": pdf(pages)})
    assert abs(found.bytes / sum(map(len, pages)) - 1) < 0.05


def test_files_beside_those_that_were_read_hold_as_much_for_their_size(tmp_path: Path) -> None:
    files = {f"{number}.html": page(f"number {number:03}").encode() for number in range(FILES_READ * 4)}
    amounts = _made(tmp_path, files)
    ratios = {round(amount.bytes / len(content), 2) for amount, content in zip(amounts, files.values(), strict=True)}
    assert len(ratios) == 1 and 0.2 < ratios.pop() < 0.8


def test_where_no_file_of_a_format_can_be_read_its_text_is_guessed(tmp_path: Path) -> None:
    (locked,) = _made(tmp_path, {"locked.pdf": locked_pdf()})
    assert locked.texts == 1 and locked.bytes > 0
    (many,) = _made(tmp_path, {"all.jsonl": b"{}\n" * 40_000})
    assert many == (30, 120_000)

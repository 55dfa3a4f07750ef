"""Jupyter notebooks (nbformat 3 and 4): the text of Markdown cells and the source of code cells, in order. Outputs are left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from data.sources.decode import decode
from data.sources.errors import Unreadable
from data.sources.readers.parsing.record import ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole
from data.sources.readers.text.markdown import markdown_text


def read_notebook(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record, titled by the first top-level heading."""
    source, encoding = decode(read_whole(stream, options), options.encoding)
    try:
        notebook = json.loads(source)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"damaged ipynb: not JSON: {error}") from error
    cells = _cells(notebook)
    title, parts = "", list[str]()
    for cell in cells:
        text = _source(cell)
        if cell.get("cell_type") == "markdown":
            text, heading = markdown_text(text)
            title = title or heading
        if text.strip():
            parts.append(text.strip("\n"))
    if not parts:
        raise Unreadable(f"no text: none of its {len(cells)} cells has any")
    yield Record("\n\n".join(parts), title=title, encoding=encoding)


def _cells(notebook: Any) -> list[dict[str, Any]]:
    """Return the cells of a notebook of version 4, or of the sheets of one of version 3."""
    if isinstance(notebook, dict):
        sheets = [notebook, *(sheet for sheet in notebook.get("worksheets") or () if isinstance(sheet, dict))]
        found = [sheet["cells"] for sheet in sheets if isinstance(sheet.get("cells"), list)]
        if found:
            return [cell for cells in found for cell in cells if isinstance(cell, dict)]
    raise Unreadable("damaged ipynb: it has no cells")


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    return "".join(map(str, source)) if isinstance(source, list) else str(source)

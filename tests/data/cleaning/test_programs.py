"""Programs come out of cleaning as they came in: a rule for prose would break them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from tests.data.dedup.books import bytes_of, texts_of, write

PROGRAM = (
    "import sys\r\n\n\ndef main(argv):\n    # the lamp is lit by the keeper of the light, who climbed the steps, and\n    # counted them\n"
    "\tif '--flag' in argv:  \n        return {**{}, '~': [^&%$#@!]}\n\n\n"
    "    print(\u201cc1ay\u201d, '&amp;', 'caf\u00c3\u00a9', 1 -- 2)\n12\n\f\n13\n"
)
PROSE = "The clay of the river is brown -- so they said. " * 9 + "The c1ay of the mill is brown, too."


def _clean(folder: Path, texts: dict[str, str], formats: dict[str, str], **keys: int) -> Path:
    documents = write(folder / "in", texts, formats=formats)
    config = CleanConfig(minimum_characters=keys.get("minimum", 1))
    clean(documents, folder / "out", config, threads=1, memory="500MB", scratch=folder / "scratch", batch=keys.get("batch", 1 << 20))
    return folder / "out"


def test_a_program_comes_out_of_cleaning_as_it_came_in_and_the_ledger_says_that_it_was_kept(tmp_path: Path) -> None:
    texts = {"a": PROGRAM, "b": PROSE, "c": PROGRAM, "d": PROGRAM, "e": PROGRAM}
    output = _clean(tmp_path / "whole", texts, {"a": "code", "b": "txt", "c": "ipynb", "d": "code+md", "e": "txt"})
    cleaned = texts_of(output)
    assert cleaned["a"] == cleaned["c"] == cleaned["d"] == PROGRAM
    assert "--" not in cleaned["b"] and "c1ay" not in cleaned["b"] and cleaned["e"] != PROGRAM
    account = [row for row in pq.read_table(output / "ledger.parquet").to_pylist() if row["id"] in "acd"]
    assert [(row["id"], row["action"], row["rule"], row["net"]) for row in account] == [(name, "kept", "document", 0) for name in "acd"]
    single = _clean(tmp_path / "single", texts, {"a": "code", "b": "txt", "c": "ipynb", "d": "code+md", "e": "txt"}, batch=1)
    assert bytes_of(single) == bytes_of(output)


def test_a_short_program_is_removed_whole_and_prose_learns_no_word_from_programs(tmp_path: Path) -> None:
    output = _clean(
        tmp_path, {"a": "exit(1)\n", "b": PROSE.replace("clay", "mud"), "c": "clay = 1\n" * 99}, {"a": "code", "c": "code"}, minimum=50
    )
    assert set(texts_of(output)) == {"b", "c"} and "c1ay" in texts_of(output)["b"]
    assert pq.read_table(output / "removed" / "too_short.parquet").to_pylist()[0]["text"] == "exit(1)\n"

"""Every mistake is answered with one message that names the thing, the value and the way out, and in no library's words."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from flows.cli import app as cli
from tests.flows.cli.mistakes import MISTAKES, Mistake

LONGEST = 400  # characters, besides paths: five lines of a terminal
FOREIGN = (
    "Traceback",
    "pydantic",
    "ValidationError",
    "NoneType",
    "Input should",
    "String should",
    "Tuple should",
    "match pattern",
    "yaml.scanner",
)


def answer(mistake: Mistake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What folio says to a mistake on standard error; nothing on standard output."""
    monkeypatch.setattr(sys, "argv", ["folio", *shlex.split(mistake.command)])
    with pytest.raises(SystemExit) as ended:
        cli.run_command()
    shown = capsys.readouterr()
    assert ended.value.code in (1, 2)
    assert shown.out == ""
    # What takes seconds says so first; whether it can be done is known only then.
    return "".join(line for line in shown.err.splitlines(keepends=True) if not line.startswith("Looking at the texts below"))


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_answered_in_words_that_help(
    mistake: Mistake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    for name, value in mistake.variables.items():
        monkeypatch.setenv(name, value)
    for name, content in {"books/one.txt": "The cat sat.\n", **mistake.files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    said = answer(mistake, capsys, monkeypatch)
    assert said.startswith("folio: ")
    for words in mistake.says:
        assert words in said
    assert not [words for words in FOREIGN if words in said]
    assert len(said) <= LONGEST + len(str(tmp_path)) * said.count(str(tmp_path)), said


def test_as_many_different_mistakes_are_answered_as_were_made_in_a_first_hour() -> None:
    assert len({(str(mistake), str(mistake.files)) for mistake in MISTAKES}) >= 69

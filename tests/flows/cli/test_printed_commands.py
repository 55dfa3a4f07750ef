"""Every command that folio prints runs as it is printed: from any folder, whatever the names in it are."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from flows.cli import app as cli
from tasks.stage.system.command_line import folio, program
from tasks.stage.system.explanations import explain

WORD = r"(?:'[^']*'|[^\s'();`])+"


def commands_in(text: str) -> list[list[str]]:
    """Return every command of folio in a text, in words."""
    joined = text.replace("\\\n", " ")
    found = re.findall(rf"(?:^|(?<=[\s:])){re.escape(program())}((?: +{WORD})+)", joined, re.MULTILINE)
    return [shlex.split(words) for words in found]


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str, code: int = 0) -> str:
    """What a command prints, on either stream."""
    monkeypatch.setattr(sys, "argv", ["folio", *words])
    with pytest.raises(SystemExit) as ended:
        cli.run_command()
    shown = capsys.readouterr()
    assert (ended.value.code or 0) == code, shown.err
    return shown.out + shown.err


def test_what_is_printed_runs_from_another_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here, elsewhere = tmp_path / "my texts", tmp_path / "some where"
    (here / "old books").mkdir(parents=True)
    elsewhere.mkdir()
    (here / "old books" / "one.txt").write_text("The cat sat on the mat. " * 20_000)  # enough for a network
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(here)
    printed = said(capsys, monkeypatch, "plan", "old books", code=1)
    assert commands_in(printed) == [["init", str(here / "old books")]]
    printed = said(capsys, monkeypatch, *commands_in(printed)[0])
    recipe = str(here / "old books" / "recipe.yaml")
    assert commands_in(printed) == [["run", recipe]]
    printed += said(capsys, monkeypatch, "size", "old books", "--device", "h100", "--bytes", "1e6")
    printed += said(capsys, monkeypatch, "chat", "old books/recipe.yaml", code=1)
    printed += said(capsys, monkeypatch, "plan", "old books", "--sett", "seed=2", code=2)
    monkeypatch.chdir(elsewhere)
    ran = [words for words in commands_in(printed) if words]
    assert [words[:2] for words in ran] == [["run", recipe], ["run", recipe], ["run", recipe], ["plan", "--help"]]
    assert "--set" in ran[1]
    for words in (ran[1], ran[3]):
        # A plan reads the recipe and its changes as a run does.
        said(capsys, monkeypatch, *("plan" if word == "run" else word for word in words))


def test_words_are_quoted_for_a_shell() -> None:
    words = ("plan", "my books/recipe.yaml", "--set", "ingest.without=['a b', \"c\"]", "--refresh", "clean[3]")
    assert shlex.split(folio(*words))[1:] == list(words)


def test_folio_is_called_as_it_can_be_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "a b" / "folio"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert shlex.split(folio("up")) == [str(script), "up"]
    monkeypatch.setenv("PATH", str(script.parent))
    assert shutil.which("folio") == str(script)
    assert folio("up") == "folio up"
    monkeypatch.setattr(sys, "argv", ["-c"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere" / "python"))
    assert folio("up") == "folio up"


def test_a_command_at_the_end_of_a_message_gets_no_full_stop() -> None:
    command = folio("run", "universe")
    assert explain(LookupError(f"There is none; make one with: {command}")).endswith(command)
    assert explain(LookupError("There is none")) == "There is none."

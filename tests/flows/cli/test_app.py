"""What the command says of itself, and what a shell completes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.app import asked_help, command_line
from flows.cli.commands.arguments import complete_live_run, complete_recipe, complete_run, complete_stage


def test_the_version_names_the_code_and_the_libraries_that_matter() -> None:
    shown = CliRunner().invoke(command_line(), ["--version"])
    assert shown.exit_code == 0
    assert shown.output.startswith("folio ")
    assert f"Python {sys.version.split()[0]}, prefect 3." in shown.output


def test_every_command_is_found_by_its_name_alone() -> None:
    whole = typer.main.get_group(command_line()).commands
    assert {"run", "chat", "recipe", "corpus"} <= set(whole)
    for name, command in whole.items():
        alone = typer.main.get_group(command_line([name])).commands[name]
        assert [(one.name, one.opts) for one in alone.params] == [(one.name, one.opts) for one in command.params], name


def test_recipes_stages_and_runs_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unusual.yaml").touch()
    assert complete_recipe("un") == ["universe", "unusual.yaml"]
    assert {"pretrain", "evaluate", "gate"} <= set(complete_stage(""))
    assert complete_stage("pret") == ["pretrain"]
    for name in ("store/.runs/20260101T000000-aa.json", "store/.runs/20260102T000000-bb.json", "live/20260102T000000-bb", "live/use.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert complete_run("2026") == ["20260102T000000-bb", "20260101T000000-aa"]
    assert complete_live_run("") == ["20260102T000000-bb"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["-h"], ["--help"]),
        (["help"], ["--help"]),
        (["help", "run"], ["run", "--help"]),
        (["run", "-h"], ["run", "--help"]),
        (["corpus", "stats", "-h"], ["corpus", "stats", "--help"]),
        (["chat", "--ask", "help"], ["chat", "--ask", "help"]),
        ([], []),
    ],
)
def test_help_is_asked_for_in_the_usual_ways(words: list[str], meant: list[str]) -> None:
    assert asked_help(words) == meant

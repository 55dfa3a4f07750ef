"""What the command says of itself, and what a shell completes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.app import COMMANDS, asked_help, command_line, load_command
from flows.cli.commands.arguments import complete_live_run, complete_recipe, complete_run, complete_stage
from tests.flows.cli.command import ROOT


def test_the_version_names_the_code_and_the_libraries_that_matter() -> None:
    shown = CliRunner().invoke(command_line(), ["--version"])
    assert shown.exit_code == 0
    assert shown.output.startswith("folio ")
    assert f"Python {sys.version.split()[0]}, prefect 3." in shown.output


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_as_it_describes_itself(name: str) -> None:
    command = load_command(name)
    assert command.name == name
    assert " ".join((command.help or "").split()).startswith(COMMANDS[name].help)


def test_every_command_is_listed() -> None:
    for module in {listed.module for listed in COMMANDS.values()}:
        defined = typer.main.get_group(import_module(f"flows.cli.commands.{module}").app).commands
        assert set(defined) == {name for name, listed in COMMANDS.items() if listed.module == module}


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["chat", "--help"], ["status"], ["plan", "four_books"]], ids=" ".join)
def test_help_a_plan_and_a_look_at_what_runs_wait_for_no_large_library(words: list[str], tmp_path: Path) -> None:
    large = {"prefect", "torch", "duckdb", "mlflow"}
    program = (
        "import os, sys; from flows.cli import app\ntry: app.run_command()\n"
        f"except SystemExit: os.write(2, repr(sorted({large} & set(sys.modules))).encode())"
    )
    environment = {**os.environ, "FOLIO_HOME": str(tmp_path)}
    for _ in range(2 if words[0] == "plan" else 1):  # the first plan counts operations, in torch
        ended = subprocess.run(
            [sys.executable, "-c", program, *words], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
    assert ended.stderr == "[]"
    assert ended.stdout


def test_a_look_into_the_store_knows_every_stage_without_the_flows() -> None:
    program = (
        "import sys, flows.cli.snapshot as s; known = set(s.STAGES); assert 'prefect' not in sys.modules\n"
        "import flows.pipeline; print(known == set(s.STAGES), 'pretrain' in known)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "True True\n"


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

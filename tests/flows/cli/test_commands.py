"""The command line: a user's error is one message without a traceback, and exit code 1."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import app as cli
from flows.cli.commands import recipe, services
from flows.cli.planning import TimeEstimate, plan_table
from flows.recipe.loading import built_in, load
from tasks.forecast.forecast import Forecast
from tasks.forecast.rates import Load, Range
from tasks.stage.execution.plan import Action, Decision
from tests.flows.cli.command import folio

IDLE = Load(0.0, 0.0, 2)


def failed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What a command that fails says."""
    monkeypatch.setattr(sys, "argv", ["folio", *words])
    with pytest.raises(SystemExit) as ended:
        cli.run_command()
    shown = capsys.readouterr()
    assert ended.value.code == 1
    assert "Traceback" not in shown.err
    assert shown.out == ""
    return shown.err


OTHERS = [
    (
        ("plan", "universe", "--set", "dedup.keep=['source']", "--set", "dedup.prefer_sources=['library']"),
        "dedup.prefer_sources='library' names no source; ingest.sources has universe",
    ),
    (
        ("plan", "universe", "--set", "dedup.exact=false", "--set", "dedup.near.enabled=false", "--set", "dedup.keep=['title']"),
        "keep=['title'] does nothing while exact=false and near.enabled=false",
    ),
    (("corpus", "removed", "page"), "has no runs yet"),
    (("corpus", "why", "a", "b"), "has no runs yet"),
]


@pytest.mark.parametrize(("words", "message"), OTHERS, ids=[" ".join(words) for words, _ in OTHERS])
def test_a_user_error_is_one_message(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    assert message in failed(capsys, monkeypatch, *words)


def test_the_real_command_plans_a_first_run_as_a_table_and_changes_nothing(tmp_path: Path) -> None:
    planned = folio(tmp_path / "home", "plan", "four_books")
    assert planned.returncode == 0, planned.stderr
    lines = planned.stdout.splitlines()
    assert lines[0].split() == ["ingest[0]", "run", "-", "it", "has", "never", "run"]
    assert "waits on ingest[0]" in lines[2]
    first = next(number for number, line in enumerate(lines) if line.startswith("34 run; about "))
    assert "stages of unknown duration" in " ".join(lines[first:])
    assert any(line.startswith("pretrain ") and "not measured here" in line for line in lines[first:])
    assert max(map(len, lines)) <= 100
    assert not (tmp_path / "home" / "store").exists()


def forecast(place: str, seconds: float | None, action: Action = "run") -> Forecast:
    """What a stage is expected to take, give or take a half."""
    decision = Decision(place, place.partition("[")[0], action, ())
    return Forecast(decision, None if seconds is None else Range(seconds / 2, seconds, seconds * 1.5), "like books of 1 May", None)


def test_a_plan_says_how_long_the_run_will_take_and_what_that_rests_on() -> None:
    cases: tuple[tuple[list[Forecast], str], ...] = (
        ([], "nothing to do"),
        (
            [forecast("sft", 70.0), forecast("dpo", 5.0, "wait")],
            "about 1:10 (0:35 to 1:45), or about 1:15 (0:40 to 1:50) if all that may run does",
        ),
        ([forecast("sft", 70.0), forecast("dpo", None)], "about 1:10 (0:35 to 1:45), and 1 stage of unknown duration"),
        ([forecast(f"clean[{number}]", 30.0) for number in range(4)], "about 1:00 (0:45 to 1:15)"),
        ([forecast("clean[0]", 90.0), forecast("clean[1]", 10.0)], "about 1:30 (0:45 to 2:15)"),
        ([forecast("sft", None)], "nothing tells how long it takes before it has run once"),
    )
    for forecasts, words in cases:
        assert TimeEstimate.of(forecasts, 2, IDLE).words() == words
    listed = TimeEstimate.of([forecast("sft", 70.0), forecast("dpo", 1.0)], 2, IDLE).lines()
    assert [line.split() for line in listed if line] == [["sft", "0:35", "-", "1:45", "like", "books", "of", "1", "May"]]
    assert (
        "This machine is busy: 8.0 threads want its 2 cores" in TimeEstimate.of([forecast("sft", 70.0)], 2, Load(8.0, 8.0, 2)).lines()[-1]
    )


def test_shards_with_the_same_action_and_reason_share_a_line() -> None:
    reused = [Decision(f"ingest[{number}]", "ingest", "reuse", ()) for number in range(3)]
    new = Decision("ingest[3]", "ingest", "run", ("file books/new.txt was added",))
    waits = [Decision(f"clean[{number}]", "clean", "wait", (f"waits on ingest[{number}]",)) for number in range(2)]
    estimate = TimeEstimate.of([forecast("ingest[3]", 30.0), *(forecast(f"clean[{number}]", None, "wait") for number in range(2))], 2, IDLE)
    lines = [line.split() for line in plan_table([*reused, new, *waits], "", estimate).splitlines()]
    assert lines[0][:5] == ["ingest", "(3", "of", "4)", "reuse"]
    assert lines[1] == ["ingest[3]", "run", "~0:30", "file", "books/new.txt", "was", "added"]
    assert lines[2] == ["clean", "x2", "may", "run", "-", "waits", "on", "ingest"]


def test_a_plan_fits_a_hundred_columns_and_names_a_stage_once_however_many_shards_it_waits_on() -> None:
    shards = ", ".join(f"clean[{number}]" for number in range(12))
    causes = (f"waits on {shards}, dedup", "train.learning_rate: " + " ".join(["0.25"] * 30))
    decisions = [Decision("dedup", "dedup", "run", causes), Decision("evaluate.release", "evaluate", "reuse", ())]
    lines = plan_table(decisions, "", TimeEstimate.of([forecast("dedup", 3000.0)], 2, Load(40.0, 40.0, 2))).splitlines()
    assert max(map(len, lines)) <= 100
    assert "waits on clean x12, dedup" in lines[0]


def test_a_plan_can_be_printed_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "argv", ["folio", "plan", "four_books", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.run_command()
    assert ended.value.code == 0
    output = json.loads(capsys.readouterr().out)
    assert output["stopped"] == ""
    assert output["stages"][0]["stage"] == "ingest[0]"
    assert len(output["stages"][0]["key"]) == 64
    assert {stage["action"] for stage in output["stages"]} == {"run"}


@pytest.mark.slow
def test_a_size_is_proposed_with_its_reasons_before_anything_ran(tmp_path: Path) -> None:
    words = ("size", "four_books", "--device", "h100", "--devices", "2", "--set", "rates.gpu_hour=3")
    sized = folio(tmp_path / "home", *words)
    assert sized.returncode == 0, sized.stderr
    for said in (
        "four_books: ",
        "2 x h100-sxm, 67 TFLOP/s each (NVIDIA H100 data sheet",
        "a parameter",
        "ZeRO stage",
        "^ proposed",
        "EUR",
        "repeats too much",
        "26.7 tokens of different text are enough for less",
        "--set model.width=",
    ):
        assert said in sized.stdout
    assert not (tmp_path / "home" / "store").exists()
    output = json.loads(folio(tmp_path / "home", *words, "--json", "--params", "1e6").stdout)
    assert output["proposed"]["parameters"] == pytest.approx(1e6, rel=0.2)
    proposed = output["proposed"]
    assert proposed["tokens"] == pytest.approx(proposed["tokens_a_parameter"] * proposed["parameters"], rel=1e-6)
    assert set(output["proposed"]["memory_bytes"]) == {"0", "1", "2", "3"}
    # What is proposed is a recipe that can be run.
    table = folio(tmp_path / "home", *words, "--params", "1e6").stdout
    changes = [line.strip().removesuffix(" \\").removeprefix("--set ") for line in table.splitlines() if line.startswith("    --set")]
    assert load("four_books", tuple(changes)).model.width == output["proposed"]["model"]["width"]


def test_the_command_exits_with_1_on_an_error_and_shows_a_traceback_only_with_debug(tmp_path: Path) -> None:
    plain = folio(tmp_path / "home", "plan", "univers")
    assert (plain.returncode, plain.stdout, plain.stderr.count("\n")) == (1, "", 1)
    debugged = folio(tmp_path / "home", "--debug", "plan", "univers")
    assert debugged.returncode == 1
    assert "Traceback" in debugged.stderr


def test_the_recipes_are_listed_with_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    recipe.recipes()
    listed = capsys.readouterr().out
    for name in ("universe", "four_books"):
        assert re.search(rf"^{name} +\S", listed, re.MULTILINE)
    assert str(built_in()["universe"].parent) in listed


def test_the_settings_for_other_tools_can_be_read_by_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    services.env()
    script = capsys.readouterr().out + '\nprintf "%s" "$PREFECT_API_URL"'
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={})
    assert read.stdout.startswith("http://127.0.0.1:")


def test_with_those_settings_mlflow_uses_the_database_of_this_home(tmp_path: Path) -> None:
    script = folio(tmp_path, "env").stdout + f'exec {sys.executable} -c "import mlflow; print(mlflow.get_tracking_uri())"'
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={})
    assert read.stdout.strip() == f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_top_k_top_p_and_a_seed_without_a_temperature_are_refused_since_nothing_would_be_drawn() -> None:
    from flows.cli.chat_session import talk

    for name, value in (("top_k", 5), ("top_p", 0.9)):
        sampling = {"temperature": 0.0, "top_k": None, "top_p": None, "max_new_tokens": 8, name: value}
        with pytest.raises(ValueError, match=r"--top-k and --top-p .*--temperature 0 draws nothing; give one"):
            talk("four_books", None, sampling, None, "Continue: The cat")
    with pytest.raises(ValueError, match=r"--seed.*--temperature 0 draws nothing; give one"):
        talk("four_books", None, {"temperature": 0.0, "top_k": None, "top_p": None, "max_new_tokens": 8}, 3, "Continue: The cat")


def test_two_variants_at_once_are_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = failed(capsys, monkeypatch, "chat", str(tmp_path), "--int8", "--variant", "small", "--ask", "?")
    assert "--int8 is short for --variant int8, and --variant small is given too; keep one" in asked


@pytest.mark.parametrize("words", [("--variant", "small"), ("--variant", ""), ("--int8",)])
def test_a_variant_that_a_model_does_not_have_is_answered_with_those_it_has(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folder in (tmp_path, tmp_path / "int4", tmp_path / "tiny"):
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}")
    assert f"has no variant {words[-1].removeprefix('--')!r}; it has int4, tiny." in failed(
        capsys, monkeypatch, "chat", str(tmp_path), *words, "--ask", "?"
    )


def test_an_unknown_position_cannot_be_refreshed_and_json_cannot_be_unfolded(tmp_path: Path) -> None:
    for asked in ("clean[7]", "universe"):
        refused = folio(tmp_path / "home", "plan", "four_books", "--refresh", asked)
        assert refused.returncode == 1
        assert f"--refresh '{asked}': four_books has no such position; " in refused.stderr
    assert folio(tmp_path / "home", "plan", "four_books", "--refresh", "clean[0]").returncode == 0
    idle = folio(tmp_path / "home", "lineage", "clean", "--all", "--json")
    assert idle.returncode == 1
    assert "--all unfolds the tree and the drawing" in idle.stderr

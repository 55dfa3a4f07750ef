"""Run the READMEs' commands as they are written, in a home of their own; what takes long is checked to be known."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.main import get_command

from flows.cli.app import command_line, load_command
from flows.recipe.loading import load
from tests.end_to_end.readme import READMES, ROOT, block, commands, free_port, shell, standing, wait_until

TEXTS = {
    f"{number}.txt": f"The {animal} of {town}\n\n"
    + " ".join(f"On day {day} the {animal} went from {town} to the river." for day in range(40))
    for number, (animal, town) in enumerate((a, t) for a in ("heron", "goat", "otter", "owl", "hare") for t in ("Avel", "Brin"))
}


def test_the_quick_commands_do_what_their_comments_say(quick_commands: dict[str, list[str]]) -> None:
    listed, first, plan, reply, funnel, shown, lineage, holding, differing = quick_commands.values()
    assert "universe" in listed[0] and "four_books" in listed[0]
    assert "pretrain: done" in first[0] and "P the_cat.sat" in first[0]
    assert "done in" not in first[1] and first[1].count(": reused") == 34
    assert re.search(r"^tune\.sft +run .*learning_rate: 0.003 -> 0.002", plan[0], re.MULTILINE)
    assert reply[0].strip() in ("sat.", "slept.")
    assert "dedup" in funnel[0] and "balanced" in funnel[0]
    assert "four_books/2.txt" in shown[0] and "train" in shown[0]
    assert "tokenizer" in lineage[0] and "cost" in lineage[0]
    assert "export/four_books" in holding[0] and "four_books/2.txt" in holding[0]
    assert "executed" in differing[0] or "ran 0 of 34 stages" in differing[0]


def test_the_recipe_commands_do_what_their_remarks_say(environment: dict[str, str], tmp_path: Path) -> None:
    show, differ, schema = block("Recipes", "flows")
    assert "# <- default: 2000000" in shell(show, environment)
    assert "model.width: 128 -> 160" in shell(differ, environment)
    shell(schema.replace("recipe.schema.json", str(tmp_path / "recipe.schema.json")), environment)
    assert "pretrain" in json.loads((tmp_path / "recipe.schema.json").read_text())["properties"]


def test_the_recipes_in_the_readme_load(tmp_path: Path) -> None:
    named = {}
    for text in re.findall(r"```yaml\n(.*?)```", "\n".join(READMES.values()), re.DOTALL):
        (tmp_path / "recipe.yaml").write_text(text)
        recipe = load(str(tmp_path))
        named[recipe.name] = recipe
    assert named["longer"].pretrain.tokens == 4_000_000
    assert named["longer"].gates == load("universe").gates
    assert named["letters"].root == str(tmp_path)
    assert named["assistant"].examples.kind == "conversations"


def test_the_readme_is_read_in_ten_minutes() -> None:
    text = READMES[""]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert len(text.splitlines()) <= 200 and len(text.split()) <= 1800
    paragraphs = [part for part in re.split(r"\n\n+", prose) if not part.startswith(("|", "#"))]
    assert max(len(part.split()) for part in paragraphs) <= 60


@pytest.mark.parametrize("folder", [folder for folder in READMES if folder])
def test_a_room_s_readme_has_at_most_250_lines(folder: str) -> None:
    assert len(READMES[folder].splitlines()) <= 250


@pytest.mark.parametrize("folder", READMES)
def test_links_lead_to_files(folder: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", READMES[folder]):
        assert (ROOT / folder / target).exists(), target


@pytest.mark.parametrize("folder", READMES)
def test_every_command_and_option_of_folio_exists(folder: str) -> None:
    listed = [line for block in commands(READMES[folder]) for line in block]
    inline = re.findall(r"`(folio [a-z][^`]*)`", READMES[folder])
    for line in [*listed, *inline]:
        for called in re.findall(r"(?:^|[ ;(])folio ((?:[^;|&)\"]|\"[^\"]*\")*)", line):
            command: Any = get_command(command_line())
            words = shlex.split(called.replace("'", ""))
            while words and words[0] in getattr(command, "commands", {}):
                command = load_command(words.pop(0)) if not command.name else command.commands[words.pop(0)]
            assert not hasattr(command, "commands") or not words or words[0].startswith("-") or words[0].isupper(), line
            options = {name for option in command.params for name in option.opts}
            assert {word.split("=")[0] for word in words if word.startswith("--")} <= options | {"--help"}, line


@pytest.mark.parametrize("folder", READMES)
def test_every_module_and_make_target_exists(folder: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for module in re.findall(r"python -m ((?:tests|flows)[.\w]+)", READMES[folder]):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file() or (ROOT / module.replace(".", "/") / "__main__.py").is_file(), module
    assert {*re.findall(r"^make ([a-z-]+)", READMES[folder], re.MULTILINE)} <= {*targets}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's files, to be edited."""
    made = tmp_path / "copy"
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, made / name)
    return made


def test_the_stage_in_the_readme_is_added_as_it_is_written_there_and_planned(copy: Path, environment: dict[str, str]) -> None:
    (change,) = re.findall(r"```diff\n(.*?)```", READMES["tasks"], re.DOTALL)
    subprocess.run(["git", "apply", "--unidiff-zero", "-"], cwd=copy, input=change, check=True, text=True)
    planned = shell(f"cd {copy} && python -m flows.cli.app plan four_books --set letters.most=3", environment)
    assert re.search(r"^letters +run +- +it has never run", planned, re.MULTILINE)


@pytest.mark.slow
def test_the_stage_in_the_readme_runs_and_what_guards_the_repository_accepts_it(copy: Path, environment: dict[str, str]) -> None:
    (change,) = re.findall(r"```diff\n(.*?)```", READMES["tasks"], re.DOTALL)
    subprocess.run(["git", "apply", "--unidiff-zero", "-"], cwd=copy, input=change, check=True, text=True)
    shell(f"cd {copy} && python -m pytest -q -p no:cacheprovider tests/test_architecture.py tests/identity/test_lint.py", environment)
    assert "letters: done" in shell(f"cd {copy} && python -m flows.cli.app run four_books 2>&1", environment)
    (made,) = Path(environment["FOLIO_HOME"]).glob("store/letters/*/letters.json")
    assert json.loads(made.read_text())["t"] == 6


@pytest.mark.parametrize("folder", ["tasks", "deployments"])
def test_files_and_names_in_a_guide_are_there(folder: str) -> None:
    files = re.findall(r"`((?:flows|tasks|data|model|deployments|tests)/[\w./]*)`", READMES[folder])
    assert len(files) > 5 and [name for name in files if not (ROOT / name).exists()] == []
    for file, names in re.findall(r"^\|[^|]*\| `([\w./]+\.py)` \|([^|]*)\|$", READMES[folder], re.MULTILINE):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert [name for name in re.findall(r"`(\w+)`", names) if name not in text] == [], file


@pytest.mark.slow
def test_what_is_served_is_what_folio_chat_says(environment: dict[str, str], quick_commands: dict[str, list[str]]) -> None:
    (command,) = block("Serve it", "model")
    port = free_port()
    asked = {"model": "four_books:int8", "messages": [{"role": "user", "content": "Continue: The cat"}], "temperature": 0}
    with standing(f"exec {command.replace('universe', 'four_books')} --port {port}", environment):
        wait_until("ok", f"curl -s http://127.0.0.1:{port}/health || true", environment)
        said = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=asked, timeout=60).json()
    assert said["choices"][0]["message"]["content"].strip() in ("sat.", "slept.")


@pytest.fixture
def own_books(tmp_path: Path) -> Path:
    """Ten short texts."""
    books = tmp_path / "my_books"
    books.mkdir()
    for name, text in TEXTS.items():
        (books / name).write_text(text)
    return books


@pytest.mark.slow
def test_ten_short_texts_of_one_s_own_are_counted_and_become_a_model_to_talk_to(environment: dict[str, str], own_books: Path) -> None:
    init, plan, run = (command.replace("my_books", str(own_books)) for command in block("Your own books"))
    told = shell(init, environment)
    assert "10 texts" in told and "why: so little text" in told and "--kind network" in told
    assert "pretrain" in shell(plan, environment)
    ended = shell(f"{run} 2>&1", environment, timeout=900)
    assert re.search(r"^release\.test\.bits_per_byte .* <= 1 x baseline\.unigram.* passed", ended, re.MULTILINE)
    assert "It is itself a table of the runs of tokens" in ended and "What the base model writes by itself" in ended
    asked = re.search(r"^talk to it +(\S*folio chat \S+)", ended, re.MULTILINE)
    assert asked
    assert "went from" in shell(f"{asked[1]} --ask 'On day 7 the heron' --max-new-tokens 16", environment)
    assert "has no size to choose" in shell(f"folio size {own_books / 'recipe.yaml'} 2>&1 || true", environment)


@pytest.mark.slow
def test_a_network_of_ten_short_texts_is_trained_for_the_asking_and_the_gate_says_that_counting_is_better(
    environment: dict[str, str], own_books: Path
) -> None:
    init, plan, run = (command.replace("my_books", str(own_books)) for command in block("Your own books"))
    told = shell(f"{init} --kind network", environment)
    assert "10 texts" in told and "it memorizes" in told and "may end at gate.base without a model" in told
    assert "pretrain" in shell(plan, environment)
    ended = shell(f"{run} 2>&1 || true", environment, timeout=900)
    assert "pretrain: done" in ended
    assert re.search(r"^base\.val\.bits_per_byte .* beats baseline\.ngram: .* FAILED", ended, re.MULTILINE)
    assert "counting runs of words predicts unseen text as well" in ended and "Nothing is lost" in ended
    asked = re.search(r"^ +(\S*folio chat \S+ --unreleased)", ended, re.MULTILINE)
    assert asked and "pretrain.tokens=" in ended and "gates.base.overrule=" in ended
    said = shell(f"{asked[1]} --ask 'The heron' --max-new-tokens 8 2>&1", environment)
    assert "NOT RELEASED" in said and len(said.strip().splitlines()) >= 4


@pytest.mark.slow
def test_the_schedule_s_commands_make_a_deployment_ready_and_a_triggered_run_completes(environment: dict[str, str]) -> None:
    up, settings, *commands, stand = block("Schedule it", "deployments")
    for command in (up, *(f"{settings}; {command}" for command in commands)):
        shell(command, environment)
    with standing(f"{settings}; exec {stand}", environment):
        wait_until("READY", f"{settings}; prefect deployment inspect folio/universe", environment)
        # The run is of the smallest recipe: the deployment's own takes minutes and is shown by `make run`.
        shell(f"{settings}; prefect deployment run folio/universe --param recipe=four_books --watch", environment, timeout=900)
    assert "COMPLETED" in shell(f"{settings}; prefect flow-run ls --limit 1 --state Completed", environment)


@pytest.mark.slow
def test_make_run_makes_the_default_model_and_its_gates_pass(environment: dict[str, str]) -> None:
    text = shell(f"make run PYTHON={sys.executable}", environment, timeout=1200)
    assert "gate.release" in text and "A conversation with it" in text and "chat universe" in text

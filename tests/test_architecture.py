"""The house: imports point one way, each big library is known in one room, and files stay short enough to read at once."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("flows", "tasks", "data", "model")
# room -> the packages that it may import; of `data`, a model sees the format of packed rows alone
ALLOWED = {
    "flows": ("flows", "tasks", "data", "model"),
    "tasks": ("tasks", "data", "model"),
    "data": ("data",),
    "model": ("model", "data.shards"),
}
# library -> where it may be imported
HOMES = {
    "deepspeed": ("model/training/",),
    "fastapi": ("model/serving/", "flows/page/"),
    "llguidance": ("model/inference/grammar_worker.py",),
    "mlflow": ("tasks/stage/tracking/",),
    "peft": ("model/adapters/",),
    "prefect": ("flows/", "tasks/"),
    "prefect_dask": ("tasks/stage/execution/worker_pool.py",),
    "prefect_ray": ("tasks/stage/execution/worker_pool.py",),
    "duckdb": ("data/",),
    "reasoning_gym": ("data/problems/make.py", "data/shards/gym_scores.py"),
    "torch": ("model/",),
    "typer": ("flows/cli/",),
}
SOURCES = sorted(path.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("*.py"))
CHAPTERS = ("corpus", "base", "chat", "release")
STAGES = [name for name in SOURCES if Path(name).parent == Path("tasks") and Path(name).name != "__init__.py"]


@cache
def imported(name: str) -> frozenset[str]:
    """Every module that a source file imports, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return frozenset(found)


def folder_of(module: str) -> Path | None:
    """The folder that a module of ours lies in; None for a library."""
    path = module.replace(".", "/")
    if f"{path}.py" in SOURCES:
        return Path(path).parent
    return Path(path) if f"{path}/__init__.py" in SOURCES else None


def stages_of(name: str) -> list[ast.FunctionDef]:
    """The functions that a file of `tasks` makes stages."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [node for node in functions if any(ast.unparse(decorator).startswith("stage(") for decorator in node.decorator_list)]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_from_flows_to_tasks_to_data_and_model_and_never_back(room: str) -> None:
    wrong = {
        f"{name} imports {module}"
        for name in SOURCES
        if name.startswith(f"{room}/")
        for module in imported(name)
        if module.split(".")[0] in ROOMS and not any(f"{module}.".startswith(f"{package}.") for package in ALLOWED[room])
    }
    assert not wrong


def test_the_format_of_rows_needs_nothing_else_of_data() -> None:
    assert {
        module for name in SOURCES if name.startswith("data/shards/") for module in imported(name) if module.split(".")[0] == "data"
    } <= {f"data.shards.{Path(name).stem}" for name in SOURCES if name.startswith("data/shards/")}


def test_imports_are_absolute_so_that_the_arrows_can_be_seen() -> None:
    assert not [f"{name} imports {module}" for name in SOURCES for module in imported(name) if module.startswith(".")]


def test_no_two_folders_import_each_other() -> None:
    """A folder and one inside it count as one thought."""
    arrows: dict[tuple[str, str], str] = {}
    for name in SOURCES:
        here = Path(name).parent
        for module in imported(name):
            there = folder_of(module)
            if there is not None and not there.is_relative_to(here) and not here.is_relative_to(there):
                arrows[here.as_posix(), there.as_posix()] = f"{name} imports {module}"
    assert not [(arrow, arrows[one, other]) for (one, other), arrow in arrows.items() if (other, one) in arrows]


@pytest.mark.parametrize("room", ["tasks", "data", "model"])
def test_the_folders_of_a_room_have_an_order_in_which_each_imports_only_from_those_before(room: str) -> None:
    before: dict[str, set[str]] = {}
    for name in SOURCES:
        here = name.split("/")[1] if name.startswith(f"{room}/") and name.count("/") > 1 else ""
        for folder in filter(None, map(folder_of, imported(name))) if here else ():
            if len(folder.parts) > 1 and folder.parts[0] == room and folder.parts[1] != here:
                before.setdefault(here, set()).add(folder.parts[1])
    assert before and list(TopologicalSorter(before).static_order())  # or it raises a CycleError that names the ring


def test_planning_knows_training_and_training_does_not_know_planning() -> None:
    assert not [name for name in SOURCES if name.startswith("model/training/") if any("planning" in module for module in imported(name))]


def test_no_folder_holds_more_files_than_a_reader_takes_in_at_a_glance() -> None:
    counts = Counter(Path(name).parent.as_posix() for name in SOURCES if Path(name).name != "__init__.py")
    assert not {folder: count for folder, count in counts.items() if count > 30}


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_known_only_where_it_lives(library: str) -> None:
    users = {name for name in SOURCES if any(module.split(".")[0] == library for module in imported(name))}
    assert users
    assert not [name for name in users if not name.startswith(HOMES[library])]


@pytest.mark.parametrize("name", SOURCES)
def test_a_file_can_be_read_at_once_and_says_what_it_is(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    assert not text.strip() or ast.get_docstring(ast.parse(text))
    assert Path(name).stem not in {"utils", "helpers", "common", "misc"}


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_file_holds_stages_or_says_that_it_holds_none(name: str) -> None:
    none = "No stage, since" in (ast.get_docstring(ast.parse((ROOT / name).read_text(encoding="utf-8"))) or "")
    assert bool(stages_of(name)) is not none


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_stages_of_a_chapter_stand_in_one_file(chapter: str) -> None:
    assert stages_of(f"tasks/{chapter}.py")
    assert not list((ROOT / "tasks" / chapter).glob("*.py"))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_thin_since_a_function_of_data_or_model_does_the_work(name: str) -> None:
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in stages_of(name)}
    assert not {stage: length for stage, length in lengths.items() if length > 50}


def test_settings_are_built_at_their_first_use_since_a_recipe_could_name_far_more_than_it_does() -> None:
    classes = [
        (name, node)
        for name in SOURCES
        for node in ast.parse((ROOT / name).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "BaseModel" for base in node.bases)
    ]
    given = {f"{name}: {node.name}": {key.arg: ast.unparse(key.value) for key in node.keywords} for name, node in classes}
    assert not [name for name, keywords in given.items() if "extra" in keywords and keywords.get("defer_build") != "True"]

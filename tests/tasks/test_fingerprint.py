"""A stage's code identity sees every edit that it reaches, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.stage.fingerprint import edited_since, fingerprint

SOURCES = {
    "data/__init__.py": "",
    "data/near.py": (
        "from data import far\nfrom data.far import LIMIT\n\ntry:\n    from data.fast import quick\nexcept ImportError:\n    quick = None\n"
        "\ndef work(x: int) -> int:\n    return far.helper(x) + LIMIT\n\ndef idle():\n    return 1\n"
    ),
    "data/fast.py": "def quick(x):\n    return x\n",
    "data/far.py": (
        'LIMIT: int = 3\n\ndef helper(x):\n    """Doc."""\n    from data.deep import Deepest\n'
        "    y: int = Deepest().grow(x)\n    return y\n\ndef unused():\n    return 2\n"
    ),
    "data/deep.py": 'class Deepest:\n    def grow(self, x):\n        return x + len(open("rule.sql").read())\n',
    "data/rule.sql": "-- a comment\nselect 1, '-- no  comment', 2\n",
    "data/started.py": 'print("worker")\n',
    "data/starter.py": 'def launch():\n    return ["python", "-m", "data.started"]\n',
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def edited(tree: Path, name: str, old: str, new: str, copy: str) -> dict[str, str]:
    """The fingerprint of `data.near:work` after one edit, made in a copy so that no parse is remembered."""
    target = tree / copy
    for source, text in SOURCES.items():
        (target / source).parent.mkdir(parents=True, exist_ok=True)
        (target / source).write_text(text.replace(old, new) if source == name else text)
    return fingerprint("data.near", "work", target)


CHANGES = [
    ("data/near.py", "far.helper(x) + LIMIT", "far.helper(x) - LIMIT", {"data/near.py:work"}),
    ("data/far.py", "LIMIT: int = 3", "LIMIT: int = 4", {"data/far.py:LIMIT"}),
    ("data/fast.py", "return x", "return -x", {"data/fast.py:quick"}),
    ("data/rule.sql", "no  comment", "no comment", {"data/rule.sql"}),
    ("data/rule.sql", "', 2", "', 3", {"data/rule.sql"}),
    ("data/far.py", "Deepest().grow(x)", "Deepest().grow(x + 1)", {"data/far.py:helper"}),
    ("data/deep.py", "return x + len", "return x - len", {"data/deep.py:Deepest"}),
    ("data/rule.sql", "select 1", "select 2", {"data/rule.sql"}),
]
NO_CHANGES = [
    ("data/far.py", '"""Doc."""', '"""Another."""'),
    ("data/far.py", "return y", "# why\n    return (y)"),
    ("data/far.py", "y: int", "y: float"),
    ("data/far.py", "LIMIT: int", "LIMIT: float"),
    ("data/near.py", "x: int) -> int", "x: float) -> float"),
    ("data/far.py", "return 2", "return 3"),
    ("data/near.py", "def idle():\n    return 1", "def idle():\n    return 9"),
    ("data/rule.sql", "-- a comment\nselect 1", "-- other words\n  select   1"),
]


@pytest.mark.parametrize(("name", "old", "new", "moved"), CHANGES)
def test_an_edit_that_is_reached_changes_exactly_the_definition_it_is_in(
    tree: Path, name: str, old: str, new: str, moved: set[str]
) -> None:
    before, after = fingerprint("data.near", "work", tree), edited(tree, name, old, new, "after")
    assert {k for k in before | after if before.get(k) != after.get(k)} == moved


@pytest.mark.parametrize(("name", "old", "new"), NO_CHANGES)
def test_comments_docstrings_formatting_annotations_and_unreached_code_change_nothing(tree: Path, name: str, old: str, new: str) -> None:
    assert fingerprint("data.near", "work", tree) == edited(tree, name, old, new, "after")


def test_a_module_started_by_name_is_part_of_the_identity(tree: Path) -> None:
    assert "data/started.py:<import>" in fingerprint("data.starter", "launch", tree)


def test_a_function_outside_of_the_repository_has_no_fingerprint_and_says_so() -> None:
    with pytest.raises(LookupError, match="json is not a module of this repository"):
        fingerprint("json", "dumps")


def test_the_pretraining_stage_reaches_the_worker_it_starts() -> None:
    assert any(name.startswith("model/training/worker.py") for name in fingerprint("tasks.pretrain", "pretrain"))


def test_no_stage_reaches_the_machinery_that_makes_it_a_stage() -> None:
    assert not [name for name in fingerprint("tasks.clean", "clean") if name.startswith("tasks/stage")]


def test_an_edit_made_after_the_fingerprint_was_taken_is_named_and_one_that_changes_nothing_is_not(tree: Path) -> None:
    before = fingerprint("data.near", "work", tree)
    assert edited_since("data.near", "work", tree) == ()
    (tree / "data/far.py").write_text(SOURCES["data/far.py"].replace("return 2", "return 3"))
    assert edited_since("data.near", "work", tree) == ()
    (tree / "data/deep.py").write_text(SOURCES["data/deep.py"].replace("x + len", "x - len"))
    assert edited_since("data.near", "work", tree) == ("data/deep.py:Deepest",)
    assert fingerprint("data.near", "work", tree) == before, "the key goes on telling of what was imported"

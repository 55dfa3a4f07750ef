"""A fingerprint sees every edit of the code that a stage reaches, and no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.stage.identity import fingerprint as module
from tasks.stage.identity.code.source_tree import ROOT, Tree
from tasks.stage.identity.fingerprint import changed_definitions, fingerprint, freeze

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
    """The fingerprint of `data.near:work` after one edit, made in a copy so that nothing is cached."""
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
    assert [name for name in fingerprint("data.starter", "launch", tree) if name.startswith("data/started.py")]


def test_a_function_outside_of_the_repository_has_no_fingerprint_and_says_so() -> None:
    with pytest.raises(LookupError, match="json is not a module of this repository"):
        fingerprint("json", "dumps")


def test_the_pretraining_stage_reaches_the_worker_it_starts() -> None:
    assert any(name.startswith("model/training/launch/worker.py") for name in fingerprint("tasks.base.pretrain", "pretrain"))


def test_no_stage_reaches_the_machinery_that_makes_it_a_stage() -> None:
    assert not [name for name in fingerprint("tasks.corpus.clean", "clean") if name.startswith("tasks/stage")]


def test_an_edit_made_after_the_fingerprint_was_taken_is_named_and_one_that_changes_nothing_is_not(tree: Path) -> None:
    before = fingerprint("data.near", "work", tree)
    assert changed_definitions("data.near", "work", tree) == ()
    (tree / "data/far.py").write_text(SOURCES["data/far.py"].replace("return 2", "return 3"))
    assert changed_definitions("data.near", "work", tree) == ()
    (tree / "data/deep.py").write_text(SOURCES["data/deep.py"].replace("x + len", "x - len"))
    assert changed_definitions("data.near", "work", tree) == ("data/deep.py:Deepest",)
    assert fingerprint("data.near", "work", tree) == before, "the key goes on telling of what was imported"


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """A folder of cached fingerprints as another process left it; this process has none in memory."""
    folder = tmp_path / "fingerprints"
    held = dict(module._known)
    module._known.clear()
    freeze([("tasks.corpus.split", "split")], folder)
    module._known.clear()
    yield folder
    module._known.clear()
    module._known.update(held)


def test_fingerprints_kept_by_another_process_are_taken_from_there(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_walk", lambda *_: pytest.fail("the code was walked again"))
    freeze([("tasks.corpus.split", "split")], kept)
    assert "tasks/corpus/split.py:split" in fingerprint("tasks.corpus.split", "split")


def test_a_stage_that_was_not_kept_is_added(kept: Path) -> None:
    freeze([("tasks.corpus.split", "split"), ("tasks.gate", "gate")], kept)
    (file,) = kept.iterdir()
    assert "tasks.gate:gate" in file.read_text()
    assert "tasks.corpus.split:split" in file.read_text()


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\x00" * 100, None])
def test_damaged_fingerprints_are_made_again(kept: Path, damage: bytes | None) -> None:
    (file,) = kept.iterdir()
    whole = file.read_bytes()
    # One digit of one hash, which leaves the JSON valid.
    file.write_bytes(whole.replace(b'split": "', b'split": "0', 1) if damage is None else damage)
    freeze([("tasks.corpus.split", "split")], kept)
    assert fingerprint("tasks.corpus.split", "split")["tasks/corpus/split.py:split"] in whole.decode()
    assert file.read_bytes() == whole


def test_what_was_kept_is_known_by_every_byte_of_the_rooms(tree: Path) -> None:
    before = Tree.read(tree).digest
    assert Tree.read(tree).digest == before
    for name in ("data/rule.sql", "data/far.py", "data/new.csv"):
        held = (tree / name).read_bytes() if (tree / name).exists() else b""
        times = (tree / name).stat() if held else None
        (tree / name).write_bytes(held[::-1] + b" ")
        if times:
            os.utime(tree / name, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert Tree.read(tree).digest != before, name
        before = Tree.read(tree).digest


CODE = """
import json, sys
from flows.cli.planning import plan_recipe
plan = plan_recipe("universe", (), frozenset(), False)
print(json.dumps([[d.position, d.key, dict(d.ingredients)] for d in plan.decisions]))
"""


def ingredients(root: Path, home: Path, **environment: str) -> list[list[object]]:
    """Return position, key and ingredients of every stage of the universe recipe, from a fresh process."""
    settings = {"PYTHONPATH": str(root), "FOLIO_HOME": str(home), "PATH": os.environ["PATH"], **environment}
    told = subprocess.run([sys.executable, "-c", CODE], cwd=home.parent, env=settings, capture_output=True, text=True, check=True)
    found: list[list[object]] = json.loads(told.stdout.splitlines()[-1])
    return found


def test_two_machines_and_two_processes_give_one_identity(tmp_path: Path) -> None:
    elsewhere = tmp_path / "another place" / "folio"
    for room in ("flows", "tasks", "data", "model"):
        shutil.copytree(ROOT / room, elsewhere / room, ignore=shutil.ignore_patterns("__pycache__"))
    here = ingredients(ROOT, tmp_path / "home", PYTHONHASHSEED="1", LC_ALL="C.UTF-8", TZ="UTC", OMP_NUM_THREADS="1")
    there = ingredients(elsewhere, tmp_path / "another place" / "home", PYTHONHASHSEED="2", LC_ALL="C", TZ="Asia/Tokyo", HOME="/nowhere")
    assert here == there
    assert len(here) > 20
    assert all(any(name.startswith("code.") for name in told) for _, _, told in here if isinstance(told, dict))

"""A trace is a function of what ran and of a source, and says in a sentence what is different."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.project import EXECUTION, FOLIO
from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import Source
from tasks.stage.identity.tracing.trace import changes, trace_of
from tests.tasks.stage.identity.tracing.programs import Program, repository

FILES = {
    "toy/near.py": """
from pathlib import Path
from toy.far import Base, Sub, LIMIT, register

HERE = Path(__file__).parent

@register
def rule(x):
    return x

def work():
    found = sorted(path.name for path in HERE.glob("*.txt"))
    return Sub().spans() + LIMIT, found, (HERE / "rule.txt").read_text(), (HERE / "own.txt").exists(), {"b", "a", "c"}
""",
    "toy/far.py": """
LIMIT = 1
RULES = []

def register(function):
    RULES.append(function)
    return function

class Base:
    def spans(self):
        return 1

class Sub(Base):
    pass

def unused():
    return 1
""",
    "toy/rule.txt": "one",
}
EDITS = [
    ("toy/far.py", "        return 1", "        return 2", "ran `Base.spans` in toy/far.py, which changed"),
    ("toy/far.py", "LIMIT = 1", "LIMIT = 2", "mentions `LIMIT` in toy/far.py, which changed"),
    ("toy/far.py", "    pass", "    def spans(self):\n        return 2", "`Sub.spans` in toy/far.py would be found first now"),
    ("toy/near.py", "@register\n", "", "mentions `rule` in toy/near.py, which changed"),
    (
        "toy/near.py",
        "from toy.far import Base, Sub, ",
        "from toy.far import Base as Sub, ",
        "`Sub` in toy/near.py means toy.far.Base, not toy.far.Sub",
    ),
    ("toy/rule.txt", "one", "two", "reads toy/rule.txt, which changed"),
    ("toy/own.txt", "", "new", "looks for toy/own.txt, which is a file now"),
    ("toy/other.txt", "", "new", "lists toy, where other.txt was added"),
    ("toy/near/__init__.py", "", "def work():\n    return 1\n", "toy.near would be imported from toy/near/__init__.py"),
    ("toy/far.py", "def unused():\n    return 1", "def other(x: int) -> int:\n    return 2", ""),
]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A program that does a little of everything."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "home").mkdir()
    return Program(repository(folder / "site", FILES), folder / "home")


@pytest.fixture(scope="module")
def marks(toy: Program) -> Marks:
    """Its marks."""
    return toy.run()


@pytest.mark.parametrize(("path", "old", "new", "sentence"), EDITS, ids=[edit[3] or "nothing" for edit in EDITS])
def test_a_difference_is_told_in_a_sentence(
    tmp_path: Path, marks: Marks, toy: Program, path: str, old: str, new: str, sentence: str
) -> None:
    edited = repository(tmp_path, {**FILES, path: FILES.get(path, "").replace(old, new, 1)})
    told = [str(change) for change in changes(toy.trace(marks), marks, Source.of(edited))]
    assert sentence in told if sentence else not told


def test_an_execution_has_the_same_trace_in_another_checkout_home_locale_and_with_another_hash_seed(tmp_path: Path, toy: Program) -> None:
    first = toy.trace(toy.run(PYTHONHASHSEED="1"))
    (tmp_path / "a home").mkdir()
    elsewhere = Program(repository(tmp_path / "another" / "checkout", FILES), tmp_path / "a home")
    other = elsewhere.run(PYTHONHASHSEED="2", LC_ALL="C", LANG="C", HOME=str(tmp_path), TZ="Asia/Tokyo")
    assert elsewhere.trace(other) == first
    assert trace_of(other, Source.of(toy.root)) == first


def test_a_damaged_cache_is_rebuilt(tmp_path: Path, marks: Marks, toy: Program) -> None:
    first = trace_of(marks, Source.of(toy.root), cache=tmp_path)
    kept = list(tmp_path.iterdir())
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:-3] + b"...")
    assert trace_of(marks, Source.of(toy.root), cache=tmp_path) == first
    assert trace_of(marks, Source.of(toy.root), cache=tmp_path) == first == trace_of(marks, Source.of(toy.root))


def test_marks_are_written_and_read_without_loss(marks: Marks) -> None:
    assert Marks.model_validate_json(marks.model_dump_json()) == marks


def test_two_executions_had_loaded_before_what_both_had(marks: Marks) -> None:
    one, other = (marks.model_copy(update={"preloaded": names}) for names in (("json", "numpy"), ("json", "torch")))
    assert one.union(other).preloaded == ("json",)


def named() -> Iterator[tuple[str, str]]:
    """Every entry of the table of execution code with the path it begins with."""
    yield from ((entry, entry.partition(":")[0]) for entry in EXECUTION)


@pytest.mark.parametrize(("entry", "path"), named(), ids=lambda value: value)
def test_execution_code_that_is_named_exists_and_has_a_reason(entry: str, path: str) -> None:
    assert (FOLIO.root / path).exists() and EXECUTION[entry]
    qualname = entry.partition(":")[2]
    assert not qualname or f"def {qualname}(" in (FOLIO.root / path).read_text() or f"class {qualname}(" in (FOLIO.root / path).read_text()
    assert FOLIO.is_execution(path if not path.endswith("/") else f"{path}any.py", qualname)

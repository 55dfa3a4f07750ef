"""What a recorder sees, and what it leaves as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.stage.identity.tracing.marks import Marks, MissingMarks
from tasks.stage.identity.tracing.watched_files import SourceEdited
from tests.tasks.stage.identity.tracing.programs import Program, repository

REFLECTION = """
import dataclasses, inspect, pickle, typing
from pydantic import BaseModel
from toy.far import Row, helper

class Model(BaseModel):
    row: "int"

def work():
    '''Said.'''
    lines = inspect.getsource(helper).splitlines()
    types = typing.get_type_hints(helper)
    row = pickle.loads(pickle.dumps(Row(1)))
    where = inspect.getsourcefile(helper).endswith("toy/far.py")
    return lines[0], types["x"].__name__, row, Model(row=1).row, work.__doc__, where, inspect.signature(helper).parameters["x"].default
"""
FAR = """
from dataclasses import dataclass

@dataclass
class Row:
    value: int

def helper(x: int = 3) -> int:
    return x
"""


def program(tmp_path: Path, **files: str) -> Program:
    """A program of modules of `toy`."""
    (tmp_path / "home").mkdir()
    return Program(repository(tmp_path / "site", {f"toy/{name}.py": text for name, text in files.items()}), tmp_path / "home")


def test_reflection_finds_everything_as_without_a_recorder(tmp_path: Path) -> None:
    toy = program(tmp_path, near=REFLECTION, far=FAR)
    toy.run()
    assert toy.said == "('def helper(x: int = 3) -> int:', 'int', Row(value=1), 1, 'Said.', True, 3)"


def test_what_is_entered_is_marked_and_what_is_not_is_not(tmp_path: Path) -> None:
    toy = program(
        tmp_path, near="from toy.far import a\ndef work():\n    return a()\n", far="def a():\n    return 1\ndef b():\n    return 2\n"
    )
    marks = toy.run()
    assert marks.entered == ("toy/far.py:a", "toy/near.py:work")
    assert marks.roots == ("toy", "toy.near")


def test_a_compiled_file_beside_the_source_is_never_used(tmp_path: Path) -> None:
    import os
    import py_compile

    toy = program(tmp_path, near="def work():\n    return 1\n")
    path = toy.root / "toy/near.py"
    times = path.stat()
    py_compile.compile(str(path), doraise=True)
    path.write_text("def work():\n    return 2\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    toy.run()
    assert toy.said == "2"


def test_marks_survive_a_kill(tmp_path: Path) -> None:
    toy = program(tmp_path, near="import os, signal\ndef work():\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    marks = toy.run(check=False)
    assert marks.entered == ("toy/near.py:work",)


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.run([sys.executable, '-m', 'toy.far'], check=True)",
        "subprocess.run([sys.executable, '-c', 'import toy.far; toy.far.helper()'], check=True)",
        "multiprocessing.get_context('spawn').Process(target=helper).start()",
        "multiprocessing.get_context('fork').Process(target=helper).start()",
        "os.waitpid(os.fork() or (helper(), os._exit(0)), 0)",
        "os.spawnv(os.P_WAIT, sys.executable, [sys.executable, '-m', 'toy.far'])",
    ],
    ids=["a program", "text", "spawn", "fork", "a fork by hand", "a spawn by hand"],
)
def test_children_mark_what_they_alone_run(tmp_path: Path, start: str) -> None:
    near = f"import multiprocessing, os, subprocess, sys\nfrom toy.far import helper\ndef work():\n    {start}\n"
    far = "def helper():\n    return 1\nif __name__ == '__main__':\n    helper()\n"
    assert "toy/far.py:helper" in program(tmp_path, near=near, far=far).run().entered


def test_a_child_that_does_not_mark_voids_the_record(tmp_path: Path) -> None:
    start = "subprocess.run([sys.executable, '-c', 'pass'], env={}, check=True)"
    with pytest.raises(MissingMarks, match="a Python process that has not marked"):
        program(tmp_path, near=f"import subprocess, sys\ndef work():\n    {start}\n").run()


def test_a_torn_log_voids_the_record(tmp_path: Path) -> None:
    toy = program(tmp_path, near="def work():\n    return 1\n")
    toy.run()
    log = next((toy.home / "marks-1").glob("*.log"))
    log.write_text(log.read_text()[:-4])
    with pytest.raises(MissingMarks, match="its last line is torn"):
        Marks.read(toy.home / "marks-1")
    log.unlink()
    with pytest.raises(MissingMarks, match="no process has marked"):
        Marks.read(toy.home / "marks-1")


def test_a_log_that_cannot_be_written_is_an_error_that_marked_code_can_describe_and_voids_the_record(tmp_path: Path) -> None:
    near = """
import resource, signal
def work():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        return getattr(work, "never_asked_for", None)
    except OSError as error:
        return f"{type(error).__name__}, {getattr(error, 'nor_this', 'described')}"
"""
    toy = program(tmp_path, near=near)
    with pytest.raises(MissingMarks, match="no process has marked"):
        toy.run()
    assert toy.said == "OSError, described"


def test_a_file_that_was_edited_since_the_run_began_is_not_read(tmp_path: Path) -> None:
    body = "    RULE.write_text('2')\n    return RULE.read_text()\n"
    near = f"from pathlib import Path\nRULE = Path(__file__).with_name('rule.py')\ndef work():\n{body}"
    toy = program(tmp_path, near=near, rule="1")
    with pytest.raises(AssertionError, match=r"SourceEdited: toy/rule\.py was edited since this run began"):
        toy.run()


def test_a_document_that_was_edited_after_it_was_read_voids_the_record(tmp_path: Path) -> None:
    body = "    BOOK.read_text()\n    BOOK.write_text('2')\n"
    near = f"from pathlib import Path\nBOOK = Path(__file__).parents[1] / 'books/a.txt'\ndef work():\n{body}"
    toy = program(tmp_path, near=near)
    repository(toy.root, {"books/a.txt": "1"})
    with pytest.raises(SourceEdited, match=r"books/a\.txt was edited after this execution had read it"):
        toy.run()


def test_two_executions_that_made_one_artifact_have_the_marks_of_both(tmp_path: Path) -> None:
    toy = program(tmp_path, near="def first():\n    return 1\ndef work():\n    return first()\n")
    before = toy.run()
    repository(toy.root, {"toy/near.py": "def second():\n    return 1\ndef work():\n    return second()\n"})
    both = before.union(toy.run())
    assert both.entered == ("toy/near.py:first", "toy/near.py:second", "toy/near.py:work")
    assert both.processes == 2

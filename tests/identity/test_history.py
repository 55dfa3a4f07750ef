"""What the replay of commits calls a fault, and how it undoes a commit; `make identity-history` replays for real."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.identity import commits
from tests.identity.bench import ROOMS
from tests.identity.replay import Position, Run, judge


def run(stopped: str = "", **had: str) -> Run:
    """A run by its positions, each an action and its bytes: `clean="reused 1"`."""
    told = {name: text.split() for name, text in had.items()}
    return Run({name: Position(action, digest, ()) for name, (action, digest) in told.items()}, stopped, 1.0)


def test_a_stage_that_is_reused_and_would_differ_is_a_fault() -> None:
    before, fresh = run(clean="executed 1", fit="executed 1"), run(clean="executed 2", fit="executed 1")
    verdict = judge(run(clean="reused 1", fit="reused 1"), before, fresh)
    assert verdict.faults == ("clean",)
    assert verdict.reused == ("clean", "fit")


def test_a_stage_that_ran_to_the_bytes_it_had_is_waste_and_no_fault() -> None:
    before = run(clean="executed 1", fit="executed 1")
    verdict = judge(run(clean="executed 1", fit="executed 2"), before, run(clean="executed 1", fit="executed 2"))
    assert (verdict.ran, verdict.waste, verdict.faults, verdict.unlike) == (("clean", "fit"), ("clean",), (), ())


def test_a_stage_that_ran_on_what_was_wrongly_reused_is_unlike_a_fresh_one() -> None:
    before, fresh = run(clean="executed 1", fit="executed 1"), run(clean="executed 2", fit="executed 2")
    verdict = judge(run(clean="reused 1", fit="executed 3"), before, fresh)
    assert (verdict.faults, verdict.unlike) == (("clean",), ("fit",))


def test_a_position_that_only_one_of_the_runs_has_is_a_fault() -> None:
    before = run(clean="executed 1", fit="executed 1")
    assert judge(run(clean="reused 1", fit="reused 1"), before, run(clean="executed 1")).faults == ("fit",)
    assert judge(run(clean="reused 1"), before, run(clean="executed 1", fit="executed 1")).faults == ("fit is missing",)


def test_a_run_that_a_gate_does_not_stop_though_it_stops_a_fresh_one_is_a_fault() -> None:
    before, fresh = run(clean="executed 1", gate="executed 1"), run("too few", clean="executed 1")
    assert judge(run(clean="reused 1", gate="reused 1"), before, fresh).faults
    assert not judge(run("too few", clean="reused 1"), before, fresh).faults


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a history: a file of ten lines, of which commits change the first, the last, and the first again."""
    monkeypatch.setattr(commits, "ROOT", tmp_path)
    for variable, value in (commits.IDENTITY | commits.DATES).items():
        monkeypatch.setenv(variable, value)
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
    lines = [f"LINE = {number}\n" for number in range(10)]
    git(tmp_path, "init", "--quiet")
    for subject, number, text in (("start", 0, "A"), ("first", 0, "B"), ("last", 9, "C"), ("first again", 0, "D")):
        lines[number] = f"LINE = {text!r}\n"
        (tmp_path / "data" / "lines.py").write_text("".join(lines))
        commit_all(tmp_path, subject)
    monkeypatch.setattr(commits, "FIRST", git(tmp_path, "rev-list", "--max-parents=0", "HEAD"))
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    """What git says."""
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit_all(folder: Path, subject: str) -> None:
    """Commit what lies there."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", subject)


def test_undoing_a_commit_leaves_the_edits_after_it_and_those_not_committed(repository: Path, tmp_path: Path) -> None:
    (repository / "model" / "new.py").write_text("NEW = 1\n")
    base = commits.today()
    (last,) = (commit for commit in commits.drawn(1) if commit.subject == "last")
    commits.write_rooms(commits.undone(last, base), tmp_path / "undone")
    text = (tmp_path / "undone" / "data" / "lines.py").read_text()
    assert text.startswith("LINE = 'D'\n") and text.endswith("LINE = 9\n")
    assert (tmp_path / "undone" / "model" / "new.py").read_text() == "NEW = 1\n"
    assert git(repository, "status", "--porcelain", "--untracked-files=no") == "", "the checkout is as it was"


def test_a_commit_whose_lines_changed_since_is_not_undone(repository: Path) -> None:
    (first,) = (commit for commit in commits.drawn(1) if commit.subject == "first")
    assert commits.undone(first, commits.today()) == ""


def test_a_seed_draws_in_one_order_and_later_commits_leave_it_as_it_is(repository: Path) -> None:
    before = [commit.id for commit in commits.drawn(7)]
    (repository / "tasks" / "more.py").write_text("MORE = 1\n")
    commit_all(repository, "more")
    after = [commit.id for commit in commits.drawn(7)]
    assert len(after) == len(before) + 1
    assert [id_ for id_ in after if id_ in before] == before


def test_commits_of_the_tracer_and_those_that_touch_no_room_are_not_drawn(repository: Path) -> None:
    before = {commit.id for commit in commits.drawn(1)}
    for path in (f"{commits.TRACER}rule.py", "README.md"):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text("text\n")
        commit_all(repository, path)
    assert {commit.id for commit in commits.drawn(1)} == before

"""The body of a stage runs in a process that knows nothing of the run or of another body, and passes on all that a run must know of it."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import psutil
import pytest

from tasks.project import FOLIO
from tasks.stage.execution.bodies.run_body import BodyLost, ServerLost, fork_server
from tests.tasks.toys import BODIES, Workshop


def test_a_body_finds_nothing_of_the_run_and_nothing_that_another_body_left(workshop: Workshop) -> None:
    workshop.edit('MARK = "."', 'MARK = "."\nran = []')
    alone = 'assert not ran and not {"prefect", "tasks.stage.execution.execute"} & set(__import__("sys").modules)\n    ran.append(1)'
    for stage in BODIES:
        workshop.edit(f'    executed("{stage}")', f'    {alone}\n    executed("{stage}")')
    workshop.run()
    assert workshop.executed == list(BODIES)


@pytest.mark.skipif(not FOLIO.environment, reason="bodies are told nothing on this processor")
@pytest.mark.parametrize("chosen", [None, "COMPATIBLE"])
def test_a_body_finds_the_variables_of_its_project_unless_the_run_has_others(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    for name, value in FOLIO.environment.items():
        monkeypatch.delenv(name, raising=False)
        if chosen is not None:
            monkeypatch.setenv(name, chosen)
        alone = f'assert __import__("os").environ["{name}"] == "{chosen or value}"'
        workshop.edit('    executed("learn")', f'    {alone}\n    executed("learn")')
    workshop.run()
    assert "learn" in workshop.executed


def test_a_body_whose_process_is_killed_ends_the_run_by_name_and_the_same_command_goes_on(workshop: Workshop) -> None:
    deadly = """
    import os
    if not (work.root / "died").exists():
        (work.root / "died").touch()
        os.kill(os.getpid(), 9)
    executed("learn")"""
    workshop.edit('\n    executed("learn")', deadly)
    with pytest.raises(
        BodyLost, match=r"^learn: the process that executed it was ended by signal 9 \(Killed\).*run the same command again"
    ):
        workshop.run()
    assert workshop.executed == ["collect", "count"]
    workshop.run()
    assert workshop.executed == ["learn", "judge"]


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        ('open("/nowhere/at all")', FileNotFoundError, r"No such file or directory: '/nowhere/at all'"),
        ('{}["missing"]', KeyError, "missing"),
        ('import duckdb; duckdb.sql("SELECT missing")', Exception, "Binder Error.*missing"),
        ('__import__("pydantic").TypeAdapter(int).validate_python("x")', ValueError, "should be a valid integer"),
        ('raise type("Odd", (ValueError,), {"__init__": lambda self, a, b: None})(1, 2)', ValueError, r"\(1, 2\)"),
    ],
)
def test_the_error_of_a_body_is_the_error_of_the_run(workshop: Workshop, raised: str, kind: type[Exception], text: str) -> None:
    workshop.edit('    executed("count")', f"    {raised}")
    with pytest.raises(kind, match=text) as caught:
        workshop.run()
    assert "It happened in count" in caught.value.__notes__
    assert "toystages.py" in str(caught.value.__cause__), "it can be seen where it was raised"


def test_what_a_body_logs_and_shows_is_logged_by_the_run(workshop: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    said = 'import logging; logging.getLogger("some.library").warning("a %s word", "loud"); work.meter.show(3, 3, "all")'
    workshop.edit('    executed("count")', f'    {said}\n    executed("count")')
    with caplog.at_level(logging.INFO, "folio"):
        workshop.run()
    assert ("some.library", logging.WARNING, "a loud word") in caplog.record_tuples
    assert any(text.startswith("  count: 3/3 all") for text in caplog.messages)


def test_processor_time_of_a_body_and_of_its_children_counts_as_its_cost(workshop: Workshop) -> None:
    busy = 'import subprocess, sys; subprocess.run([sys.executable, "-S", "-c", "sum(range(60_000_000))"], check=True)'
    workshop.edit('    executed("count")', f'    {busy}\n    executed("count")')
    run = workshop.run()
    assert run.artifacts["count"].cost.cpu_seconds > run.artifacts["collect"].cost.cpu_seconds + 0.3


def test_processes_that_a_body_leaves_behind_end_with_it(workshop: Workshop) -> None:
    left = '(work.output / "pid.txt").write_text(str(__import__("subprocess").Popen(["sleep", "600"]).pid))'
    workshop.edit('    executed("collect")', f'    {left}\n    executed("collect")')
    run = workshop.run()
    pid = int((workshop.folder_of(run.artifacts["collect"]) / "pid.txt").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_bodies_die_with_the_server_that_forked_them_and_the_next_one_has_a_new_server(tmp_path: Path) -> None:
    server = fork_server(FOLIO)
    with server.fork() as waiting:
        body = psutil.Process(waiting.pid)
        os.kill(body.ppid(), signal.SIGKILL)
        body.wait(10)
        with pytest.raises(ServerLost, match="killed from outside"):
            waiting.wait()
    with fork_server(FOLIO).fork() as another:
        assert psutil.Process(another.pid).ppid() != server._process.pid


def test_the_log_of_a_run_that_failed_has_each_line_once_and_ends_with_the_error(workshop: Workshop) -> None:
    said = 'import logging, sys; print("printed"); print("to standard error", file=sys.stderr); work.meter.show(3, 3, "all"); '
    said += 'logging.getLogger("some.library").warning("warned"); raise ValueError("count went wrong")'
    workshop.edit('    executed("count")', f"    {said}")
    with pytest.raises(ValueError, match="count went wrong"):
        workshop.run()
    (path,) = (workshop.home / "logs" / "runs").glob("*.log")
    lines = [line.partition(" ")[2].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    for words in ("printed", "to standard error", "count: 3/3 all", "warned", "count went wrong"):
        assert len([line for line in lines if words in line]) == 1, lines
    assert "count went wrong" in lines[-1]

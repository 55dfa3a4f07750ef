"""One finished run, and every change of the matrix made to a copy of it, a few at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import pytest

from tests.identity import bench
from tests.identity.bench import Outcome
from tests.identity.matrix import MATRIX, Line

AT_ONCE = max(2, min(8, len(os.sched_getaffinity(0))))
CHANGE = "test_a_change_runs_exactly_what_it_must"
Outcomes = Callable[[Line], Outcome]


def fresh_processes() -> ProcessPoolExecutor:
    """A pool of which each task has a process of its own, with libraries loaded and nothing of ours."""
    return ProcessPoolExecutor(AT_ONCE, mp_context=bench.forking(), max_tasks_per_child=1)


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """What came of a line's change; all that the session asks for are under way from the beginning."""
    from prefect.settings import PREFECT_API_URL

    url, folder = str(PREFECT_API_URL.value()), tmp_path_factory.mktemp("matrix")
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    asked = [call.params["line"] for call in calls if call is not None and isinstance(call.params.get("line"), Line)]
    with fresh_processes() as pool:
        base = folder / "base"
        built = pool.submit(bench.build, base, url).result()
        assert not built.failed, built.failed
        assert set(built.after.values()) == {"reuse"}
        running: dict[str, Future[Outcome]] = {
            line.name: pool.submit(bench.copy_and_run_change, base, folder / str(number), url, line.how)
            for number, line in enumerate(dict.fromkeys(asked))
        }
        yield lambda line: running[line.name].result()
        for future in running.values():
            future.cancel()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The matrix as it came out, with its count."""
    reports = [r for word in ("passed", "failed") for r in terminalreporter.stats.get(word, []) if f"::{CHANGE}[" in r.nodeid]
    if not reports:
        return
    verdicts = {report.nodeid.partition("[")[2].removesuffix("]"): report.outcome for report in reports}
    terminalreporter.section("change matrix")
    for line in (line for line in MATRIX if line.name in verdicts):
        terminalreporter.write_line(f"{verdicts[line.name]}  {line.name}: {line.positions or 'nothing runs'}")
    right = sum(outcome == "passed" for outcome in verdicts.values())
    terminalreporter.write_line(f"{right} of {len(verdicts)} changes ran exactly what they must: {100 * right / len(verdicts):.0f} %")

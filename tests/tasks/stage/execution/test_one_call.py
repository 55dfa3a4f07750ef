"""One call of a stage can be read in one sitting: few files lie between a flow's line and the body of the stage."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

import tasks.stage
from tests.tasks import toys
from tests.tasks.toys import Workshop

ROOT = Path(__file__).parents[4]
MOST = 9
# The body writes down who called it, from the first frame of its process on.
TELLS_ITS_CALLERS = """
    import sys
    frame, callers = sys._getframe(), []
    while frame is not None:
        callers.append(frame.f_code.co_filename)
        frame = frame.f_back
    (work.root / "callers").write_text("\\n".join(callers))
    executed("collect")"""


def callers(frame: FrameType | None) -> Iterator[str]:
    """The files of a frame and of all that called it, up to the flow."""
    while frame is not None and frame.f_code.co_filename != toys.__file__:
        yield frame.f_code.co_filename
        frame = frame.f_back


@pytest.fixture
def way(workshop: Workshop) -> set[str]:
    """Our own files on the way of one call that executes: from the flow to the decision, to the request for a process, to the body."""
    found: set[str] = set()

    def follow(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name in ("decide", "run_body") and "/tasks/stage/" in frame.f_code.co_filename:
            found.update(callers(frame))

    workshop.edit('\n    executed("collect")', TELLS_ITS_CALLERS)
    sys.setprofile(follow)
    try:
        workshop.run()
    finally:
        sys.setprofile(None)
    found.update((workshop.root / "callers").read_text().splitlines())
    ours = {name.removeprefix(f"{ROOT}/") for name in found if name.startswith(f"{ROOT}/tasks/")}
    return ours | {"the flow", "the stage"}


def test_a_call_goes_through_few_files_from_the_flow_to_the_body(way: set[str]) -> None:
    assert len(way) <= MOST, sorted(way)


def test_the_page_that_follows_one_call_names_each_file_on_the_way(way: set[str]) -> None:
    page = tasks.stage.__doc__ or ""
    assert [name for name in sorted(way) if name.removeprefix("tasks/stage/") not in page and name not in ("the flow", "the stage")] == []
    assert len(way) > 6

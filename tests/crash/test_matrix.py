"""kill -9 at every point of every stage, then the same command: what was committed is reused, and the end is the undisturbed run's end."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.crash.conftest import TABLE
from tests.crash.driver import POINTS
from tests.crash.launching import Bench, Kill, Launch

TRAINED = ("pretrain", "tune.sft", "tune.dpo")
ENDS = {"pipeline": -9, "Ctrl-C twice": 130, "hang-up": 129}
pytestmark = pytest.mark.crash


def kills(positions: list[str]) -> list[Kill]:
    """The rows of the matrix in the order in which a run comes by them."""
    rows = []
    for position in positions:
        if position in TRAINED:
            rows += [Kill(position, "training", "workers"), Kill(position, "checkpoint", "workers"), Kill(position, "checkpoint")]
            rows += [Kill(position, "training", "Ctrl-C twice"), Kill(position, "training", "hang-up")]
        rows += [Kill(position, point) for point in ("writing", "move", "record", "done")]
    return rows


def check_death(launch: Launch) -> None:
    """The pipeline died of the kill, or told in one line that its workers did."""
    where = f"{launch.kill}\n{launch.out}\n{launch.err}"
    if launch.kill.victim in ENDS:
        assert launch.code == ENDS[launch.kill.victim], where
        assert "Traceback" not in launch.err, where
    else:
        assert launch.code == 1, where
        assert launch.err.startswith("folio: worker 0 was ended by signal 9"), where
        assert launch.err.count("\n") == 1, where
    # A training this short may be done before it is stopped.
    if launch.kill.victim != "hang-up":
        assert (launch.kill.position in launch.after) == (launch.kill.point == "done"), where


def check_continuation(launch: Launch) -> None:
    """What was whole before is not made again."""
    assert not launch.before & set(launch.executed), f"{launch.kill}: made again: {launch.before & set(launch.executed)}\n{launch.out}"
    assert "was damaged" not in launch.out
    assert launch.before <= launch.after


def test_a_run_killed_everywhere_ends_with_the_bytes_of_an_undisturbed_one(undisturbed: Bench, bench: Bench) -> None:
    positions = list(undisturbed.known)
    launches = [bench.launch(kill=kill) for kill in kills(positions)]
    launches.append(bench.launch())
    for launch in launches[:-1]:
        check_death(launch)
    for launch in launches:
        check_continuation(launch)
    assert launches[-1].code == 0, launches[-1].err
    continued = [line for launch in launches for line in launch.out.splitlines() if "continuing from the checkpoint" in line]
    assert len(continued) >= len(TRAINED), "training began afresh"
    digests, expected = bench.digests(), undisturbed.digests()
    for launch, then in pairwise(launches):
        position = launch.kill.position
        same = digests.get(position) == expected[position] and digests == expected
        TABLE.append((position, POINTS[launch.kill.point], launch.kill.victim, ", ".join(then.executed) or "-", "yes" if same else "NO"))
    assert digests == expected
    assert [record.key for record in bench.records().values()] == [record.key for record in undisturbed.records().values()]

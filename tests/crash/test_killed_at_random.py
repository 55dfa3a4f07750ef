"""kill -9 at random moments, of the run or of all its processes at once; the same command, given again, ends as an undisturbed run."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash.conftest import TABLE
from tests.crash.launching import EVERYTHING, Bench, Kill, Launch

pytestmark = pytest.mark.crash
KILLS = 18


@pytest.mark.parametrize("victim", ["pipeline", EVERYTHING])
def test_a_run_killed_at_random_moments_ends_with_the_bytes_of_an_undisturbed_one(victim: str, undisturbed: Bench, tmp_path: Path) -> None:
    moments = random.Random(victim)
    killed = 0
    while killed < KILLS:
        bench = Bench(tmp_path / f"home-{killed}", undisturbed.environment, undisturbed.known)
        launches: list[tuple[float, Launch]] = []
        while not launches or launches[-1][1].code != 0:
            after = moments.uniform(0, undisturbed.seconds)
            launch = bench.launch(kill=Kill(victim=victim), after=after if killed < KILLS else None)
            assert launch.code in (0, -9), f"{after:.2f} s\n{launch.out}\n{launch.err}"
            assert not launch.before & set(launch.executed), "what was whole is made again"
            assert launch.before <= launch.after
            killed += launch.code == -9
            launches.append((after, launch))
        same = bench.digests() == undisturbed.digests()
        for (after, launch), (_, then) in pairwise(launches):
            row = (
                f"{len(launch.after)} made",
                f"{after:.1f} s after its start",
                victim,
                f"{len(then.executed)} positions",
                "yes" if same else "NO",
            )
            TABLE.append(row)
        assert same
        assert {record.key for record in bench.records().values()} == {record.key for record in undisturbed.records().values()}

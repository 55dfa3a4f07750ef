"""Two runs side by side: what changed in recipe, code and documents, and what that did to gates, metrics and cost.

The words and figures of `folio compare`. Only the records that the two runs name are read, however many the store has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flows.cli.views.lineage import BOUNDS, affected, changes, difference
from flows.page.rendering import Page, page_of
from model.evaluation.plain_words import Shift
from tasks.lineage.compare import Comparison, RunSide, compare, shifts
from tasks.lineage.graph import ProvenanceGraph, StoreSnapshot
from tasks.reporting.stages import spent
from tasks.stage.stage import STAGES
from tasks.stage.store.journal import Journal
from tasks.stage.store.run_record import RunRecord
from tasks.stage.tracking.cost import total_cost

router = APIRouter(prefix="/compare")
MOST = 400  # rows of a table that are shown


class Measured(NamedTuple):
    """A metric of both runs. `told`: the difference in words; `shift`: its interval, None where none was measured."""

    name: str
    first: float | None
    second: float | None
    told: str
    shift: Shift | None
    intervals: tuple[str, str]


@router.get("")
def compared(request: Request) -> Response:
    """Show two runs side by side."""
    page = page_of(request)
    chosen = sorted(dict.fromkeys(request.query_params.getlist("run")))
    if len(chosen) != 2:
        raise ValueError(f"{len(chosen)} runs are chosen; choose 2 in the list of runs.")
    first, second = (page.runs.record(run_id) for run_id in chosen)
    found = compare(_snapshot(page, first, second), first, second)
    measured = list(_measured(found, shifts(page.store, found)))
    # What is certain comes first, then what has an interval: the rest can't be told from noise.
    measured.sort(key=lambda row: (row.shift is None, row.shift is not None and not row.shift.beyond_noise))
    sides = (found.first, found.second)
    return page.show(
        "compared.html.jinja",
        found=found,
        runs=(first, second),
        settings=changes(found.configuration)[:MOST],
        code=affected(found.read.code)[:MOST],
        libraries=affected(found.read.libraries)[:MOST],
        measured=measured[:MOST],
        same=sum(str(a) == str(b) for a, b in found.metrics.values()),
        costs=[spent(total_cost(side.artifacts.values()), side.rates) for side in sides],
        own=[_own_cost(side) for side in sides],
        most=MOST,
    )


def _snapshot(page: Page, *runs: RunRecord) -> StoreSnapshot:
    """Return the store as far as two runs name it."""
    made = page.store.index.records(dict.fromkeys(position.location for run in runs for position in run.positions.values()))
    return StoreSnapshot(page.store, ProvenanceGraph({one.address: one for one in made}), Journal(page.store), STAGES)


def _own_cost(side: RunSide) -> str:
    """Return what a run made itself cost, without what it reused."""
    own = [made for at, made in side.artifacts.items() if side.run.positions[at].action == "executed"]
    return spent(total_cost(own), side.rates) if own else "nothing: all of it was reused"


def _measured(found: Comparison, known: dict[str, Shift]) -> Iterator[Measured]:
    """Yield the metrics that differ, without the ends of intervals."""
    for name, (first, second) in found.metrics.items():
        if str(first) != str(second) and not name.endswith(BOUNDS):
            ends = [[found.metrics.get(f"{name}{end}", (None, None))[side] for end in ("_low", "_high")] for side in (0, 1)]
            low, high = (f"{low:.4g} to {high:.4g}" if low is not None and high is not None else "" for low, high in ends)
            yield Measured(name, first, second, difference(first, second), known.get(name), (low, high))

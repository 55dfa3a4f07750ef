"""A flow that a busy server refuses is begun again, and what it raises once it has begun is its own."""

from __future__ import annotations

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError

from tasks.stage.execution import run_context
from tasks.stage.execution.run_context import begin_flow


def _answer(status: int) -> PrefectHTTPStatusError:
    response = httpx.Response(status, json={}, request=httpx.Request("POST", "http://127.0.0.1/api/flow_runs/"))
    return PrefectHTTPStatusError.from_httpx_error(httpx.HTTPStatusError("refused", request=response.request, response=response))


class _Flow:
    """Refused with these statuses, one after the other, then returns."""

    def __init__(self, *statuses: int) -> None:
        self.left, self.tries = list(statuses), 0

    def __call__(self) -> str:
        self.tries += 1
        if self.left:
            raise _answer(self.left.pop(0))
        return "done"


def test_a_refused_flow_is_begun_again_until_it_runs() -> None:
    flow = _Flow(503, 503, 503)
    assert begin_flow(flow, begun=lambda: False) == "done"
    assert flow.tries == 4


def test_what_a_flow_raises_once_it_has_begun_is_raised_at_once() -> None:
    flow = _Flow(503)
    with pytest.raises(PrefectHTTPStatusError):
        begin_flow(flow, begun=lambda: True)
    assert flow.tries == 1


@pytest.mark.parametrize("status", [404, 422, 500])
def test_another_answer_is_raised_at_once(status: int) -> None:
    flow = _Flow(status)
    with pytest.raises(PrefectHTTPStatusError):
        begin_flow(flow, begun=lambda: False)
    assert flow.tries == 1


def test_a_server_that_refuses_for_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "BUSY_SECONDS", 0.2)
    with pytest.raises(PrefectHTTPStatusError):
        begin_flow(_Flow(*[503] * 100), begun=lambda: False)

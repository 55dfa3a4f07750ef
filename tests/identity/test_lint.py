"""Code that counts does nothing that a trace can't see; what does is execution code, or stands here with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.project import FOLIO
from tests.identity.lint import Finding, definitions, unseen

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("data", "model", "tasks")
ALLOWED = {
    "data/judgements/journal.py:now": "when a person judged, written into a line of a source, which is read by its digest",
    "data/shards/gym_scores.py:_started": "hands the environment on to a process of ours",
    "data/shards/gym_scores.py:score_entry": "a process keeps the scorer that it started, by its number",
    "data/shards/gym_scores.py:refusal": "a process keeps the scorer that it started, by its number",
    "data/sources/sandbox/parser_sandbox.py:ParserSandbox._start": "hands the environment on to a process of ours",
    "model/networks/meta.py:": "the names of torch's own initializers, which torch's version counts",
    "model/training/distributed.py:rank_from_environment": "a worker's rank divides the work, and changes nothing but rounding",
    "model/training/distributed.py:import_deepspeed": "tells DeepSpeed that there is no accelerator",
    "model/training/distributed.py:select_device": "which of a machine's cards a worker computes on changes nothing but rounding",
    "model/training/distributed.py:join": "tells DeepSpeed the worker's own rank",
    "model/training/launch/worker.py:main": "the number of threads changes nothing but rounding; a machine's name stands in an error",
    "model/training/train_module.py:require_compiler": "without a compiler there is an error, and no artifact",
    "model/pairing/critics.py:Endpoint.__init__": "a key opens an address, and is no part of what is asked there",
    "model/layers/decoding/compiled/step.py:load": "compiles a program whose text it reads as a file, which counts",
    "model/serving/": "serves models that are made; no stage runs it",
    "model/planning/": "proposes resources before a run; no stage runs it",
}
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py")}
OURS = frozenset(name for text in SOURCES.values() for name in definitions(text))


def reason(finding: Finding) -> str:
    """Why a finding is none; "" if it is one."""
    if FOLIO.is_execution(finding.path, finding.definition):
        return "execution code"
    whole = f"{finding.path}:{finding.definition}"
    return next((why for place, why in ALLOWED.items() if whole == place or (place.endswith("/") and whole.startswith(place))), "")


def test_code_that_counts_does_nothing_that_a_trace_cannot_see() -> None:
    found = [finding for path, text in sorted(SOURCES.items()) for finding in unseen(path, text, OURS)]
    assert not [str(finding) for finding in found if not reason(finding)]


@pytest.mark.slow
@pytest.mark.parametrize("place", ALLOWED)
def test_what_is_allowed_is_there(place: str) -> None:
    assert [
        finding
        for path, text in SOURCES.items()
        for finding in unseen(path, text, OURS)
        if f"{finding.path}:{finding.definition}" == place or (place.endswith("/") and path.startswith(place))
    ]

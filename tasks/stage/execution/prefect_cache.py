"""Prefect's cache with folio's keys: the key is computed before the task is called, and a hit is trusted only after verification.

Prefect's own policies see only the text of the decorated function (`TASK_SOURCE`) or put the run into the key (`DEFAULT`); here the key
is passed with the call. A key may have several artifacts, and the choice among them depends on what they read: that is decided before
the task is called, too. The stored result is just a stage and an address. One that the run does not reuse, or that is gone or damaged,
counts as a miss, so the cache heals itself.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.serializers import Serializer

from tasks.stage.execution.job import Outcome
from tasks.stage.execution.run import current_run


class StageKey(CachePolicy):
    """The stage key, passed as the task's `key` argument."""

    def compute_key(self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any) -> str | None:
        """Return the key of this call, prefixed with the stage's name for people."""
        return f"{inputs['position'].split('.')[0]}-{inputs['key']}"


class VerifiedRecord(Serializer):
    """Serializes a reference to an artifact; deserializes it only if the run has decided to reuse that artifact and it is still intact."""

    type: Literal["folio-record"] = "folio-record"

    def dumps(self, obj: Outcome) -> bytes:
        """Return `{"stage": ..., "address": ...}`."""
        if not isinstance(obj, Outcome):
            raise TypeError(f"A stage's task returned {type(obj).__name__}; only an Outcome passes between tasks.")
        return json.dumps({"stage": obj.artifact.stage, "address": obj.artifact.address}).encode()

    def loads(self, blob: bytes) -> Outcome:
        """Return the verified artifact, not executed. Raises LookupError, a cache miss to Prefect, if it is not the one to reuse."""
        reference, run = json.loads(blob), current_run()
        wanted = (decision.artifact for decision in reversed(run.decisions) if decision.artifact is not None)
        found = next((artifact for artifact in wanted if artifact.address == reference["address"]), None)
        if found is None or run.store.check(found, digests=False):
            raise LookupError(f"{reference['stage']} {reference['address'][:8]} is gone or damaged, or what it has read has changed")
        return Outcome(found, executed=False)

"""Prefect's cache, keyed by our identity: the key is computed before the task is called, and a hit is trusted only after verification.

Prefect's own policies see only the text of the decorated function (`TASK_SOURCE`) or put the run into the key (`DEFAULT`); here the key
comes with the call. The stored result is just a stage and an address. Loading it asks the store, and an artifact that is gone or damaged
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
from tasks.stage.store.artifact import Artifact


class StageKey(CachePolicy):
    """The stage key, passed as the task's `key` argument."""

    def compute_key(self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any) -> str | None:
        """Return the key of this call, prefixed with the stage's name for people."""
        return f"{inputs['position'].split('.')[0]}-{inputs['key']}"


class VerifiedRecord(Serializer):
    """Serializes a reference to an artifact; deserializes it only if the store verifies the artifact."""

    type: Literal["folio-record"] = "folio-record"

    def dumps(self, obj: Outcome) -> bytes:
        """Return `{"stage": ..., "address": ...}`."""
        if not isinstance(obj, Outcome):
            raise TypeError(f"A stage's task returned {type(obj).__name__}; only an Outcome passes between tasks.")
        return json.dumps({"stage": obj.artifact.stage, "address": obj.artifact.address}).encode()

    def loads(self, blob: bytes) -> Outcome:
        """Return the verified artifact, not executed. Raises LookupError, a cache miss to Prefect, when it is gone or damaged."""
        reference = json.loads(blob)
        found = current_run().store.find(reference["stage"], reference["address"])
        if not isinstance(found, Artifact):
            raise LookupError(f"{reference['stage']} {reference['address'][:8]} is gone or damaged")
        return Outcome(found, executed=False)

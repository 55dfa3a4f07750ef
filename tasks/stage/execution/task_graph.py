"""The edges of Prefect's graph: which task run returned each artifact of a run, and so which ones a stage's task comes after."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from tasks.stage.store.artifact import Artifact, ArtifactPart

if TYPE_CHECKING:
    from prefect.client.schemas.objects import RunInput


class TaskGraph:
    """The task runs of a run, by the artifacts that they returned, reused or made."""

    def __init__(self) -> None:
        self._returned: dict[str, UUID] = {}

    def returned(self, artifact: Artifact, task_run: UUID) -> None:
        """Record that a task run returned an artifact."""
        self._returned[artifact.location] = task_run

    def inputs(self, given: Iterable[Artifact | ArtifactPart]) -> dict[str, set[RunInput]]:
        """Return the task runs that returned these artifacts, as inputs of the parameter `job` of a stage's task."""
        # A body's process imports this module as well, and needs nothing of Prefect.
        from prefect.client.schemas.objects import TaskRunResult

        locations = {(item.artifact if isinstance(item, ArtifactPart) else item).location for item in given}
        return {"job": {TaskRunResult(id=self._returned[location]) for location in locations & self._returned.keys()}}

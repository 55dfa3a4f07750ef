"""The only code that knows MLflow: one experiment a recipe, one parent run a pipeline run, one child run a stage.

Guarantees: inputs and outputs are MLflow datasets named by our digests; a reused stage shows as a light child run that links the run
which made it, and its metrics stand on the parent as `<place>.<metric>`, so that comparing parents has every column; nothing large
passes through MLflow, only references, digests and small files. Only the client API is used: the fluent one keeps global state that
closes a parent run from a child process. Secrets never arrive here: recipes hold references to the environment, not values.
It costs about 0.1 s a stage on SQLite. When the database can't be reached the run stops with MLflow's own error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.stage.artifact import Artifact, Input

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput
    from mlflow.tracking import MlflowClient

DIGEST_LENGTH = 32
BATCH = 500


@dataclass
class Tracker:
    """Tracks one pipeline run in the MLflow database at `uri`."""

    uri: str
    experiment: str
    home: Path
    store_url: str
    parent: str = ""
    experiment_id: str = ""
    children: dict[str, str] = field(default_factory=dict)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client, imported and connected at first use."""
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def start(self, name: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """Open the parent run; returns its id."""
        self.experiment_id = self._experiment()
        self.parent = self._create(name, {**tags, "folio.kind": "pipeline"})
        self._parameters(self.parent, parameters)
        return self.parent

    def start_stage(self, place: str, key: str, parameters: Mapping[str, str]) -> str:
        """Open a stage's child run; returns its id."""
        run_id = self._create(place, {"mlflow.parentRunId": self.parent, "folio.kind": "stage", "folio.key": key})
        self._parameters(run_id, parameters)
        self.children[place] = run_id
        return run_id

    def series(self, run_id: str, rows: Iterable[tuple[str, float, int]], model_id: str = "") -> None:
        """Log (metric, value, step) rows in batches, as metrics of a LoggedModel, too, when one is named."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(_safe(name), value, now, step, model_id=model_id or None) for name, value, step in rows]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def finish_stage(self, place: str, artifact: Artifact, model_id: str) -> None:
        """Close the child run of a stage that worked: its data sets, its metrics, its cost. `model_id`: the model they tell of, or ""."""
        run_id = self.children[place]
        self._describe(place, run_id, artifact)
        self.series(run_id, [(name, value, 0) for name, value in artifact.metrics.items()], model_id)
        self.series(run_id, [(f"cost.{n}", v, 0) for n, v in artifact.cost.model_dump().items()])
        self.client.set_terminated(run_id, "FINISHED")

    def fail_stage(self, place: str, error: BaseException) -> None:
        """Close the child run of a stage that did not work."""
        run_id = self.children.get(place)
        if run_id is not None:
            self.client.set_tag(run_id, "folio.error", f"{type(error).__name__}: {error}"[:4000])
            self.client.set_terminated(run_id, "FAILED")

    def reuse_stage(self, place: str, artifact: Artifact) -> None:
        """Show a reused stage in this run, linked to the run that made it."""
        made_by = artifact.origin.mlflow_run_id
        tags = {"mlflow.parentRunId": self.parent, "folio.kind": "reused", "folio.key": artifact.key, "folio.made_by": made_by}
        run_id = self._create(f"{place} (reused)", tags)
        self._describe(place, run_id, artifact)
        self.series(run_id, [(name, value, 0) for name, value in artifact.metrics.items()])
        self.client.set_terminated(run_id, "FINISHED")

    def create_model(self, place: str, run_id: str, tags: Mapping[str, str], parameters: Mapping[str, str]) -> str:
        """Declare a LoggedModel made by a stage; returns its id."""
        model = self.client.create_logged_model(
            self.experiment_id, name=re.sub(r"[^\w-]", "-", place), source_run_id=run_id, tags=dict(tags), params=dict(parameters)
        )
        return str(model.model_id)

    def finish_model(self, model_id: str, run_id: str, files: Iterable[Path]) -> None:
        """Attach small files to a LoggedModel, mark it ready, and name it as the run's output."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        for path in files:
            self.client.log_model_artifact(model_id, str(path))
        self.client.finalize_logged_model(model_id, LoggedModelStatus.READY)
        self.client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])

    def finish(self, *, failed: bool, tags: Mapping[str, str], artifacts: Mapping[str, Artifact]) -> None:
        """Close the parent run; its data sets are what was made from nothing else, its models those of all its stages."""
        from mlflow.entities import LoggedModelOutput

        sources = {place: artifact for place, artifact in artifacts.items() if not artifact.inputs}
        self.client.log_inputs(self.parent, [self._dataset(a.location, a.reference(), place) for place, a in sources.items()])
        models = dict.fromkeys(a.origin.mlflow_model_id for a in artifacts.values() if a.origin.mlflow_model_id)
        self.client.log_outputs(self.parent, [LoggedModelOutput(model_id, 0) for model_id in models])
        for name, value in tags.items():
            self.client.set_tag(self.parent, name, value)
        self.client.set_terminated(self.parent, "FAILED" if failed else "FINISHED")

    def page(self, path: Path) -> None:
        """Keep a copy of the run's report with the parent run."""
        self.client.log_artifact(self.parent, str(path))

    def register(self, name: str, artifact: Artifact, alias: str | None) -> str:
        """Give an exported model a version in the registry, unless its digest has one, and move `alias` to it; returns the version."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_registered_model(name)
        except MlflowException:
            self.client.create_registered_model(name)
        known = self.client.search_model_versions(f"name = '{name}'")
        version = next((v for v in known if v.tags.get("folio.digest") == artifact.digest), None)
        if version is None:
            version = self.client.create_model_version(
                name,
                source=f"{self.store_url.rstrip('/')}/{artifact.location}",
                run_id=artifact.origin.mlflow_run_id or None,
                model_id=artifact.origin.mlflow_model_id or None,
                tags={"folio.digest": artifact.digest, "folio.key": artifact.key, "folio.location": artifact.location},
            )
        if alias is not None:
            self.client.set_registered_model_alias(name, alias, version.version)
        return str(version.version)

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        known = self.client.get_experiment_by_name(self.experiment)
        if known is None:
            location = (self.home / "mlflow" / self.experiment).resolve().as_uri()
            try:
                return str(self.client.create_experiment(self.experiment, artifact_location=location))
            except MlflowException:
                # Another run may have been quicker.
                known = self.client.get_experiment_by_name(self.experiment)
                if known is None:
                    raise
        return str(known.experiment_id)

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        return str(self.client.create_run(self.experiment_id, run_name=name, tags=dict(tags)).info.run_id)

    def _parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        entries = [Param(_safe(name), value[:5000]) for name, value in parameters.items()]
        for start in range(0, len(entries), 100):
            self.client.log_batch(run_id, params=entries[start : start + 100])

    def _describe(self, place: str, run_id: str, artifact: Artifact) -> None:
        inputs = [self._dataset(given.location, given, name) for name, given in artifact.inputs.items()]
        self.client.log_inputs(run_id, [*inputs, self._dataset(artifact.location, artifact.reference(), "output")])
        for name, value in {"folio.digest": artifact.digest, "folio.location": artifact.location}.items():
            self.client.set_tag(run_id, name, value)
        self.series(self.parent, [(f"{place}.{name}", value, 0) for name, value in artifact.metrics.items()])

    def _dataset(self, location: str, given: Input, context: str) -> DatasetInput:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        name = f"{location}/{given.part}" if given.part else location
        source = f'{{"uri": "{self.store_url.rstrip("/")}/{name}"}}'
        dataset = Dataset(name=name, digest=given.digest[:DIGEST_LENGTH], source_type="folio", source=source)
        return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])


def _safe(name: str) -> str:
    return re.sub(r"[^\w\-. /:]", "_", name)[:250]


def model_files(directory: Path) -> list[Path]:
    """The small files of a model directory that MLflow keeps a copy of; the weights stay in the store."""
    return [p for p in sorted(directory.glob("*")) if p.suffix in {".json", ".md"} and p.stat().st_size < 1_000_000]


def flat_parameters(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Configuration leaves as MLflow parameters."""
    from tasks.stage.identity import flatten

    return {name.removeprefix("."): value for name, value in flatten(dict(configuration), "").items()}

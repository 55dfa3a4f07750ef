"""The only code that knows MLflow: one experiment a recipe, one parent run a pipeline run, one child run a stage.

Inputs and outputs are MLflow datasets named by our digests. A reused stage shows as a light child run that links the run which made it,
and its metrics are set on the parent as `<position>.<metric>`, so that comparing parents has every column. Nothing large passes through
MLflow: only references, digests and small files. Only the client API is used, because the fluent one keeps global state that closes a
parent run from a child process. Secrets never arrive here: recipes hold references to the environment, not values.
A stage costs about 0.1 s on SQLite. When the database can't be reached, MLflow's own error is raised.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.stage.store.artifact import Artifact, InputRecord, combined_digest
from tasks.stage.store.journal import RegisteredModel
from tasks.stage.system.locks import local_lock
from tasks.stage.tracking.cost import total_cost

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric
    from mlflow.tracking import MlflowClient

DIGEST_LENGTH = 32
BATCH = 500


class ClosedRun(NamedTuple):
    """What MLflow says of a closed run: its id there, and the registered versions of its models."""

    run_id: str
    registered: tuple[RegisteredModel, ...]


@dataclass
class MlflowExporter:
    """Exports one pipeline run to the MLflow database at `uri`."""

    uri: str
    experiment: str
    home: Path
    store_url: str
    parent: str = ""
    experiment_id: str = ""
    children: dict[str, str] = field(default_factory=dict)
    pending_metrics: dict[str, float] = field(default_factory=dict)
    file: tuple[int, int] | None = None
    registered: list[RegisteredModel] = field(default_factory=list)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client, imported and connected at first use."""
        client = _connect(self.uri)
        _enable_write_ahead(self.uri)
        self.file = _file_identity(self.uri)
        return client

    def require_database(self) -> None:
        """Raise FileNotFoundError if the SQLite file was replaced or deleted, since writes to it would be lost silently."""
        if self.file is not None and _file_identity(self.uri) != self.file:
            raise FileNotFoundError(f"{self.uri.removeprefix('sqlite:///')} was deleted, moved or replaced")

    def start(self, name: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Open the parent run."""
        self.experiment_id = self._experiment_id()
        self.parent = self._create_run(name, {**tags, "folio.kind": "pipeline"})
        self._log_parameters(self.parent, parameters)

    def start_stage(self, position: str, key: str, parameters: Mapping[str, str]) -> str:
        """Open a stage's child run; return its id."""
        run_id = self._create_run(position, {"mlflow.parentRunId": self.parent, "folio.kind": "stage", "folio.key": key})
        self._log_parameters(run_id, parameters)
        self.children[position] = run_id
        return run_id

    def series(self, run_id: str, rows: Iterable[tuple[str, float, int]], model_id: str = "") -> None:
        """Log (metric, value, step) rows in batches, and as metrics of a LoggedModel when one is named."""
        metrics = self._metrics(rows, model_id)
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def finish_stage(self, position: str, artifacts: Sequence[Artifact], reused: int, model_id: str) -> None:
        """Close the child run of an executed stage: datasets, metrics, cost. `model_id`: the model that the metrics describe, or ""."""
        run_id = self.children[position]
        costs = total_cost(artifacts).model_dump()
        shards = {"folio.shards": f"{len(artifacts) - reused} executed, {reused} reused"} if len(artifacts) > 1 else {}
        spent = {f"cost.{name}": value for name, value in costs.items()}
        self._log_data(run_id, artifacts, spent, _identity_tags(artifacts) | shards, model_id)
        self._add_metrics(position, artifacts)
        self.client.log_batch(self.parent, metrics=self._metrics((name, value, 0) for name, value in self.pending_metrics.items()))
        self.pending_metrics.clear()
        self._close(run_id, "FINISHED")

    def fail_stage(self, position: str, error: str, stopped: bool) -> None:
        """Close the child run of a stage that failed or was stopped."""
        run_id = self.children.get(position)
        if run_id is not None:
            self.client.set_tag(run_id, "folio.stopped" if stopped else "folio.error", error[:4000])
            self._close(run_id, "KILLED" if stopped else "FAILED")

    def reuse_stage(self, position: str, artifacts: Sequence[Artifact], accepted: str) -> None:
        """Show a stage whose artifacts were all reused, linked to the runs that made them."""
        made_by = ", ".join(dict.fromkeys(a.origin.mlflow_run_id for a in artifacts if a.origin.mlflow_run_id))
        tags = {
            "mlflow.parentRunId": self.parent,
            "folio.kind": "reused",
            "folio.key": artifacts[0].key,
            "folio.address": artifacts[0].address,
            "folio.made_by": made_by,
        }
        if accepted:
            tags["folio.accepted"] = accepted
        run_id = self._create_run(f"{position} (reused)", tags | _identity_tags(artifacts))
        self._log_data(run_id, artifacts, {}, {}, "")
        self._add_metrics(position, artifacts)
        self._close(run_id, "FINISHED")

    def create_model(self, position: str, run_id: str, tags: Mapping[str, str], parameters: Mapping[str, str]) -> str:
        """Create the LoggedModel of a stage; return its id."""
        model = self.client.create_logged_model(
            self.experiment_id, name=re.sub(r"[^\w-]", "-", position), source_run_id=run_id, tags=dict(tags), params=dict(parameters)
        )
        return str(model.model_id)

    def finish_model(self, model_id: str, run_id: str, files: Iterable[Path]) -> None:
        """Attach small files to a LoggedModel, mark it ready, and make it the run's output."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        for path in files:
            self.client.log_model_artifact(model_id, str(path))
        self.client.finalize_logged_model(model_id, LoggedModelStatus.READY)
        self.client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])

    def finish(self, status: str, tags: Mapping[str, str], metrics: Mapping[str, float], artifacts: Mapping[str, Artifact]) -> ClosedRun:
        """Close the parent run; its datasets are the artifacts without inputs, its models those of all its stages."""
        from mlflow.entities import LoggedModelOutput, RunTag

        roots: dict[str, list[Artifact]] = {}
        for position, artifact in artifacts.items():
            if not artifact.inputs:
                roots.setdefault(position.partition("[")[0], []).append(artifact)
        self.client.log_inputs(self.parent, [self._output_dataset(given, position) for position, given in roots.items()])
        models = dict.fromkeys(a.origin.mlflow_model_id for a in artifacts.values() if a.origin.mlflow_model_id)
        self.client.log_outputs(self.parent, [LoggedModelOutput(model_id, 0) for model_id in models])
        rows = ((name, value, 0) for name, value in (self.pending_metrics | dict(metrics)).items())
        self.client.log_batch(self.parent, metrics=self._metrics(rows), tags=[RunTag(name, value) for name, value in tags.items()])
        self._close(self.parent, status)
        return ClosedRun(self.parent, tuple(self.registered))

    def crash(self, why: str) -> None:
        """Close what a dead run left open: the parent run and its children."""
        if self.parent:
            _mark_killed(self.client, self.experiment_id, self.parent, why)

    def page(self, path: Path) -> None:
        """Store a copy of the run's report with the parent run."""
        self.client.log_artifact(self.parent, str(path))

    def register(self, name: str, artifact: Artifact, alias: str | None) -> RegisteredModel:
        """Register an exported model as a new version, unless its digest has one, and move `alias` to it."""
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
                tags={
                    "folio.digest": artifact.digest,
                    "folio.key": artifact.key,
                    "folio.address": artifact.address,
                    "folio.location": artifact.location,
                },
            )
        if alias is not None:
            self.client.set_registered_model_alias(name, alias, version.version)
        made = RegisteredModel(
            name=name, version=str(version.version), alias=alias or "", location=artifact.location, digest=artifact.digest
        )
        self.registered.append(made)
        return made

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        known = self.client.get_experiment_by_name(self.experiment)
        if known is None:
            location = (self.home / "mlflow" / self.experiment).resolve().as_uri()
            try:
                return str(self.client.create_experiment(self.experiment, artifact_location=location))
            except MlflowException:
                # Another run may have created it first.
                known = self.client.get_experiment_by_name(self.experiment)
                if known is None:
                    raise
        return str(known.experiment_id)

    def _create_run(self, name: str, tags: Mapping[str, str]) -> str:
        return str(self.client.create_run(self.experiment_id, run_name=name, tags=dict(tags)).info.run_id)

    def _log_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        entries = [Param(_safe_name(name), value[:5000]) for name, value in parameters.items()]
        for start in range(0, len(entries), 100):
            self.client.log_batch(run_id, params=entries[start : start + 100])

    def _close(self, run_id: str, status: str) -> None:
        self.client.set_terminated(run_id, status)

    def _metrics(self, rows: Iterable[tuple[str, float, int]], model_id: str = "") -> list[Metric]:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        return [Metric(_safe_name(name), value, now, step, model_id=model_id or None) for name, value, step in rows]

    def _add_metrics(self, position: str, artifacts: Sequence[Artifact]) -> None:
        self.pending_metrics |= {f"{position}.{name}": value for name, value in summed_metrics(artifacts).items()}

    def _log_data(
        self, run_id: str, artifacts: Sequence[Artifact], more: Mapping[str, float], tags: Mapping[str, str], model_id: str
    ) -> None:
        from mlflow.entities import RunTag

        given: dict[str, list[InputRecord]] = {}
        for artifact in artifacts:
            for name, value in artifact.inputs.items():
                given.setdefault(name.partition("[")[0], []).append(value)
        self.client.log_inputs(
            run_id, [*(self._dataset(values, name) for name, values in given.items()), self._output_dataset(artifacts, "output")]
        )
        rows = [(name, value, 0) for name, value in summed_metrics(artifacts).items()]
        metrics = self._metrics(rows, model_id) + self._metrics((name, value, 0) for name, value in more.items())
        self.client.log_batch(run_id, metrics=metrics, tags=[RunTag(name, value) for name, value in tags.items()])

    def _output_dataset(self, artifacts: Sequence[Artifact], context: str) -> DatasetInput:
        return self._dataset([artifact.reference() for artifact in artifacts], context)

    def _dataset(self, given: Sequence[InputRecord], context: str) -> DatasetInput:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        first, *others = dict.fromkeys(given)
        location = first.location if not others else f"{first.stage}/{len(others) + 1} shards"
        name = f"{location}/{first.part}" if first.part else location
        root = self.store_url.rstrip("/")
        source = {"uris": [f"{root}/{value.location}" for value in (first, *others)]} if others else {"uri": f"{root}/{name}"}
        digest = first.digest if not others else combined_digest(value.digest for value in (first, *others))
        return DatasetInput(
            Dataset(name=name, digest=digest[:DIGEST_LENGTH], source_type="folio", source=json.dumps(source)),
            tags=[InputTag("mlflow.data.context", context)],
        )


def summed_metrics(artifacts: Sequence[Artifact]) -> dict[str, float]:
    """Return the metrics of a stage, summed over its shards."""
    sums: dict[str, float] = {}
    for artifact in artifacts:
        for name, value in artifact.metrics.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def close_crashed(uri: str, experiment: str, run: str, why: str) -> None:
    """Close what a dead pipeline run left open in the database at `uri`; `run` is its id in the journal."""
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return
    client = _connect(uri)
    known = client.get_experiment_by_name(experiment)
    if known is not None:
        for parent in client.search_runs([known.experiment_id], f"tags.`folio.run` = '{run}'"):
            _mark_killed(client, known.experiment_id, parent.info.run_id, why)


def _mark_killed(client: MlflowClient, experiment_id: str, parent: str, why: str) -> None:
    children = client.search_runs([experiment_id], f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status = 'RUNNING'")
    for run in [*children, client.get_run(parent)]:
        if run.info.status == "RUNNING":
            client.set_tag(run.info.run_id, "folio.crashed", why)
            client.set_terminated(run.info.run_id, "KILLED")


def preload() -> None:
    """Import what an exporter needs, which takes more than a second."""
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking  # noqa: F401


def _identity_tags(artifacts: Sequence[Artifact]) -> dict[str, str]:
    """Return digest and location as tags; for shards, combined."""
    if len(artifacts) == 1:
        return {"folio.digest": artifacts[0].digest, "folio.location": artifacts[0].location}
    return {"folio.digest": combined_digest(a.digest for a in artifacts), "folio.location": ", ".join(a.location for a in artifacts)[:4000]}


def _connect(uri: str) -> MlflowClient:
    """Return a client of a database, created under a lock if need be: two processes that create one file at once would damage it."""
    from mlflow.tracking import MlflowClient

    path = Path(uri.removeprefix("sqlite:///"))
    with local_lock(path.with_name(f".{path.name}.lock"), lambda: None) if uri.startswith("sqlite:///") else nullcontext():
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _file_identity(uri: str) -> tuple[int, int] | None:
    """Identify the file of a SQLite database; None for other databases and when there is none."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or not path.exists():
        return None
    found = path.stat()
    return found.st_dev, found.st_ino


def _enable_write_ahead(uri: str) -> None:
    """Let readers and writers of a SQLite database proceed without waiting for each other."""
    if uri.startswith("sqlite:///"):
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"), timeout=30)) as database:
            database.execute("PRAGMA journal_mode = WAL")


def _safe_name(name: str) -> str:
    return re.sub(r"[^\w\-. /:]", "_", name)[:250]


def model_files(directory: Path) -> list[Path]:
    """Return the small files of a model directory that MLflow keeps a copy of; the weights stay in the store."""
    return [p for p in sorted(directory.glob("*")) if p.suffix in {".json", ".md"} and p.stat().st_size < 1_000_000]


def flatten_parameters(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Return the leaves of a configuration as MLflow parameters."""
    from tasks.stage.identity.key import flatten

    return {name.removeprefix("."): value for name, value in flatten(dict(configuration), "").items()}

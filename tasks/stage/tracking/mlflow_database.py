"""The only code that calls MLflow. Each method brings one entity up to date: it finds it by folio's tags and writes what is missing.

So each is idempotent, even after a kill. A write that collides with another writer's
is retried, since the other's rows exist then; processes of one machine take turns on a SQLite file. Only the client API is used,
because the fluent one keeps global state. When the database can't be reached, MLflow's own error is raised.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tasks.stage.store.artifact import InputRecord, combined_digest
from tasks.stage.system.locks import local_lock

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

Result = TypeVar("Result")
DIGEST_LENGTH = 32
BATCH = 500
LONGEST_PARAMETER, LONGEST_TAG = 5000, 4900
ATTEMPTS = 4
SQLITE = "sqlite:///"
VIEW = "folio"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"  # where MLflow's page keeps a saved view; its address names it as viewStateShareKey
DEFAULT = "Default"  # what MLflow calls the experiment that it begins with


class MetricRow(NamedTuple):
    """A value of a metric. `time`: milliseconds since 1970, which makes a row sent twice the same row. `model_id`: its LoggedModel."""

    name: str
    value: float
    step: int
    time: int
    model_id: str = ""


class MlflowDatabase:
    """The MLflow database at `uri`; `files`: the folder for artifacts of experiments made here."""

    def __init__(self, uri: str, files: Path) -> None:
        self.uri, self._files = uri, files
        self._path = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None
        with self.turn():
            self.client = self._connect()

    def _connect(self) -> MlflowClient:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        if self._path is not None:
            # Readers and writers need not wait for each other.
            with closing(sqlite3.connect(self._path, timeout=30)) as database:
                database.execute("PRAGMA journal_mode = WAL")
            self._file = self._path.stat()
        return client

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Take turns with other processes of ours. Raises FileNotFoundError if the SQLite file was replaced, since writes would be lost."""
        if self._path is None:
            yield
            return
        with local_lock(self._path.with_name(f".{self._path.name}.lock"), lambda: None):
            if hasattr(self, "_file"):
                found = self._path.stat()
                if (found.st_dev, found.st_ino) != (self._file.st_dev, self._file.st_ino):
                    raise FileNotFoundError(f"{self._path} was moved or replaced")
            yield

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, made if need be."""

        def find_or_make() -> str:
            known = self.client.get_experiment_by_name(name)
            if known is not None:
                return str(known.experiment_id)
            made = str(self.client.create_experiment(name, artifact_location=(self._files / name).resolve().as_uri()))
            self._leave_out_default(made)
            return made

        return _insist(find_or_make)

    def _leave_out_default(self, made: str) -> None:
        """Delete the empty experiment with which MLflow begins a database, if `made` is the only other one of a file on this machine."""
        if self._path is None:
            return
        others = [found for found in self.client.search_experiments() if found.experiment_id != made]
        if [found.name for found in others] == [DEFAULT] and not self.client.search_runs([others[0].experiment_id], max_results=1):
            self.client.delete_experiment(others[0].experiment_id)

    def describe_experiment(self, experiment_id: str, tags: Mapping[str, str], metrics: Sequence[str], moment: int) -> None:
        """Set an experiment's tags, its description, and a saved view of its pipeline runs with a column for each of `metrics`.

        A view that is there keeps its columns and its time; otherwise that is `moment`, in milliseconds since 1970.
        """
        known = self.client.get_experiment(experiment_id).tags
        none = json.dumps({"createdAt": moment, "state": json.dumps({"selectedColumns": []})})
        view = json.loads(known.get(VIEW_TAG, none))
        columns = ("attributes.`Duration`", *(f"metrics.`{_safe(name)}`" for name in metrics))
        state = {
            "selectedColumns": list(dict.fromkeys([*json.loads(view["state"])["selectedColumns"], *columns])),
            "searchFilter": "tags.`folio.kind` = 'pipeline'",
            "orderByKey": "attributes.start_time",
            "orderByAsc": False,
        }
        link = f"[Runs with their figures](#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW})"
        wanted = {
            **tags,
            VIEW_TAG: json.dumps({"name": "Runs with their figures", "createdAt": view["createdAt"], "state": json.dumps(state)}),
            "mlflow.note.content": f"{link}: one a row. The stages of a run are below it.",
        }
        for name, value in wanted.items():
            if known.get(name) != value:
                _insist(lambda name=name, value=value: self.client.set_experiment_tag(experiment_id, name, value))  # type: ignore[misc]

    def find_runs(self, experiment_id: str, tags: Mapping[str, str]) -> list[Run]:
        """Return the runs with these tags, oldest first."""
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found: list[Run] = []
        token: str | None = ""
        while token is not None:
            page = self.client.search_runs([experiment_id], wanted, order_by=["attributes.start_time ASC"], page_token=token or None)
            found, token = [*found, *page], page.token or None
        return found

    def create_run(self, experiment_id: str, name: str, began: int, tags: Mapping[str, str]) -> str:
        """Open a run; the caller has looked for it. Return its id."""
        made = _insist(lambda: self.client.create_run(experiment_id, start_time=began, tags=_tags(tags), run_name=name))
        return str(made.info.run_id)

    def describe(self, run_id: str, name: str, tags: Mapping[str, str], parameters: Mapping[str, str]) -> None:
        """Set a run's name and tags, and the parameters that it has not."""
        from mlflow.entities import Param, RunTag

        known = self.client.get_run(run_id)
        if known.info.run_name != name:
            self.client.update_run(run_id, name=name)
        new = [Param(_safe(key), value[:LONGEST_PARAMETER]) for key, value in parameters.items() if _safe(key) not in known.data.params]
        changed = [RunTag(key, value) for key, value in _tags(tags).items() if known.data.tags.get(key) != value]
        for start in range(0, len(new), 100):
            self.client.log_batch(run_id, params=new[start : start + 100])
        if changed:
            self.client.log_batch(run_id, tags=changed)

    def add_metrics(self, run_id: str, rows: Iterable[MetricRow]) -> None:
        """Add rows that a run has not."""
        from mlflow.entities import Metric

        metrics = [Metric(_safe(row.name), row.value, row.time, row.step, model_id=row.model_id or None) for row in rows]
        for start in range(0, len(metrics), BATCH):
            _insist(lambda batch=metrics[start : start + BATCH]: self.client.log_batch(run_id, metrics=batch))  # type: ignore[misc]

    def add_data(self, run_id: str, data: Mapping[str, Sequence[InputRecord]], root: str) -> None:
        """Show data sets with a run, by what they are to it; shards are one. `root`: the store's URL."""
        inputs = [_dataset(given, context, root) for context, given in data.items() if given]
        if inputs:
            _insist(lambda: self.client.log_inputs(run_id, inputs))

    def add_models(self, run_id: str, model_ids: Iterable[str]) -> None:
        """Show models as the outputs of a run."""
        from mlflow.entities import LoggedModelOutput

        outputs = self.client.get_run(run_id).outputs
        known = {made.model_id for made in outputs.model_outputs} if outputs else set()
        if new := [LoggedModelOutput(model_id, 0) for model_id in dict.fromkeys(model_ids) if model_id not in known]:
            self.client.log_outputs(run_id, new)

    def add_text(self, run_id: str, file: str, text: str) -> None:
        """Keep a text with a run as a file."""
        self.client.log_text(run_id, text, file)

    def end_run(self, run_id: str, status: str, ended: int) -> None:
        """Give a run its last status: FINISHED, FAILED or KILLED."""
        info = self.client.get_run(run_id).info
        if (info.status, info.end_time) != (status, ended):
            self.client.set_terminated(run_id, status, ended)

    def model(self, experiment_id: str, name: str, run_id: str, tags: Mapping[str, str], files: Iterable[Path]) -> str:
        """Return the id of the LoggedModel with the digest in `tags`, made with these small files if need be."""
        from mlflow.entities import LoggedModelStatus

        model = next(iter(self._models(experiment_id, tags["folio.digest"])), None) or self.client.create_logged_model(
            experiment_id, name=re.sub(r"[^\w-]", "-", name), source_run_id=run_id, tags=dict(tags)
        )
        if model.status != LoggedModelStatus.READY:
            for path in files:
                self.client.log_model_artifact(model.model_id, str(path))
            self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return str(model.model_id)

    def knows_model(self, experiment_id: str, digest: str) -> bool:
        """Return whether there is a LoggedModel with a digest."""
        return bool(self._models(experiment_id, digest))

    def _models(self, experiment_id: str, digest: str) -> list[LoggedModel]:
        return list(self.client.search_logged_models([experiment_id], f"tags.`folio.digest` = '{digest}'"))

    def version(self, name: str, digest: str, source: str, run_id: str, model_id: str) -> ModelVersion:
        """Return the version of a registered model with a digest, made if need be."""
        from mlflow.exceptions import MlflowException

        def find_or_make() -> ModelVersion:
            try:
                self.client.get_registered_model(name)
            except MlflowException:
                self.client.create_registered_model(name)
            for version in self.client.search_model_versions(f"name = '{name}'"):
                if version.tags.get("folio.digest") == digest:
                    return version
            return self.client.create_model_version(
                name, source=source, run_id=run_id or None, model_id=model_id or None, tags={"folio.digest": digest}
            )

        return _insist(find_or_make)

    def describe_version(self, version: ModelVersion, description: str, tags: Mapping[str, str]) -> None:
        """Set a version's description and tags."""
        if description and version.description != description:
            self.client.update_model_version(version.name, version.version, description)
        for name, value in _tags(tags).items():
            if version.tags.get(name) != value:
                self.client.set_model_version_tag(version.name, version.version, name, value)

    def move_alias(self, version: ModelVersion, alias: str, run: str) -> None:
        """Move an alias to a version, unless a run that began later has moved it. `run`: id in the journal, which begins with its time."""
        from mlflow.exceptions import MlflowException

        try:
            since = self.client.get_model_version_by_alias(version.name, alias).tags.get(f"folio.{alias}", "")
        except MlflowException:
            since = ""
        if since <= run:
            self.client.set_model_version_tag(version.name, version.version, f"folio.{alias}", run)
            self.client.set_registered_model_alias(version.name, alias, version.version)


def _insist(write: Callable[[], Result]) -> Result:
    """Write, again if another writer was faster. Raises the last error."""
    for attempt in range(ATTEMPTS):
        try:
            return write()
        except Exception as error:
            if attempt == ATTEMPTS - 1 or not re.search("UNIQUE constraint|already exists|RESOURCE_ALREADY_EXISTS|is locked", str(error)):
                raise
            sleep(0.2 * 2**attempt)
    raise AssertionError


def _dataset(given: Sequence[InputRecord], context: str, root: str) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    first, *others = dict.fromkeys(given)
    location = first.location if not others else f"{first.stage}/{len(others) + 1} shards"
    name = f"{location}/{first.part}" if first.part else location
    base = root.rstrip("/")
    source = {"uris": [f"{base}/{value.location}" for value in (first, *others)]} if others else {"uri": f"{base}/{name}"}
    digest = first.digest if not others else combined_digest(value.digest for value in (first, *others))
    return DatasetInput(
        Dataset(name=name, digest=digest[:DIGEST_LENGTH], source_type="folio", source=json.dumps(source)),
        tags=[InputTag("mlflow.data.context", context)],
    )


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value[:LONGEST_TAG] for name, value in tags.items()}


def _safe(name: str) -> str:
    return re.sub(r"[^\w\-. /:]", "_", name)[:250]

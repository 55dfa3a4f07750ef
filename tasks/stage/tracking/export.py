"""Export a run of the journal to MLflow, during the run or any time later: one parent run, one child run per stage.

Everything comes from the store and carries the run's own times, so exporting twice writes nothing new. All of it has folio's
tags: `folio.run`, `folio.position`, `folio.address`, `folio.digest`. Inputs and outputs are data sets named by digest. A reused stage
is a light child run that links to the run which made it. The parent has the most important metrics; a table lists all of
them. Nothing large goes to MLflow: only references, digests and small files.
A stage costs about 0.1 s on SQLite.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import yaml

from tasks.stage.identity.key import flatten
from tasks.stage.store.artifact import Artifact, InputRecord, combined_digest, without_shard
from tasks.stage.store.journal import ExportRecord, Journal, RunRecord, StageRecord
from tasks.stage.store.series import read_series
from tasks.stage.tracking.cost import total_cost
from tasks.stage.tracking.mlflow_database import MetricRow, MlflowDatabase
from tasks.stage.tracking.run_page import description, headline, metrics_table, run_name, stages_of, summed_metrics

ENDS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "crashed": "KILLED"}
STAGE_ENDS = {"executed": "FINISHED", "reused": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
WORDS = {"failed": "folio.error", "stopped": "folio.stopped", "crashed": "folio.crashed"}
SMALL_FILE = 1_000_000
CARD = "README.md"


def wait_until_exported(journal: Journal, run_id: str, seconds: float) -> ExportRecord | None:
    """Wait until MLflow was told how a run ended, or could not be; return what is known after `seconds` at most."""
    deadline = time.monotonic() + seconds
    while (export := journal.exported(run_id)) is None or export.told == "running":
        if time.monotonic() >= deadline:
            return export
        time.sleep(0.05)
    return export


class Told:
    """The index of those runs of a journal that the MLflow at `uri` has."""

    def __init__(self, uri: str, home: Path) -> None:
        self._database = MlflowDatabase(uri, home / "mlflow")
        self._ends: dict[str, dict[str, str]] = {}

    def knows(self, record: RunRecord) -> bool:
        """Return whether MLflow was told of a run in full; asks once a recipe."""
        if record.recipe not in self._ends:
            found = self._database.find_runs(self._database.experiment(record.recipe), {"folio.kind": "pipeline"})
            # Before they could be told again, runs were recorded while they went on, and have no tag that says how far.
            self._ends[record.recipe] = {
                run.data.tags["folio.run"]: run.data.tags.get("folio.told", "")
                for run in found
                if "folio.run" in run.data.tags and run.info.status != "RUNNING"
            }
        return self._ends[record.recipe].get(record.id) in (record.ended, "")


class RunExport:
    """Exports one run, and remembers what was exported, so following a long run stays cheap."""

    def __init__(self, database: MlflowDatabase, journal: Journal) -> None:
        self._journal, self._store, self._database = journal, journal.store, database
        self._experiment = self._parent = ""
        self._children: dict[str, str] = {}
        self._models: dict[str, str] = {}
        self._opened: dict[str, str] = {}
        self._closed: set[str] = set()
        self._next_series = 0

    def tell(self, record: RunRecord) -> ExportRecord:
        """Bring MLflow up to date with a record. Raises MLflow's errors."""
        with self._database.turn():
            return self._tell(record)

    def _tell(self, record: RunRecord) -> ExportRecord:
        stages = stages_of(record)
        if not self._parent or stages.keys() - self._children.keys():
            self._open(record)
        made = {position: self._artifacts(record, position) for position in stages}
        for position, stage in stages.items():
            self._open_child(record, position, stage)
        self._add_series(record)
        links: dict[str, str] = {}
        for position, stage in stages.items():
            if stage.status != "executing" and position not in self._closed:
                self._close_child(record, position, stage, made[position])
                self._closed.add(position)
            if stage.status == "reused":
                links[position] = self._maker_link(made[position])
        tags = {
            "mlflow.note.content": description(record, {position: link for position, link in links.items() if link}),
            "folio.reused": ", ".join(sorted(p for p, m in record.positions.items() if m.action == "reused")),
            "folio.executed": ", ".join(sorted(p for p, m in record.positions.items() if m.action == "executed")),
        }
        versions: dict[str, str] = {}
        if record.status != "running":
            tags |= {WORDS[record.status]: record.error} if record.status in WORDS else {}
            versions = self._close(record, made)
            # Last, so its presence means that the run was exported in full.
            tags["folio.told"] = record.ended
        self._database.describe(self._parent, run_name(record), tags, record.differences)
        return ExportRecord(mlflow_run_id=self._parent, experiment_id=self._experiment, told=record.status, versions=versions)

    def _open(self, record: RunRecord) -> None:
        """Find what MLflow shows of the run: the export of a run that reuses this one's model may have told of stages before this one."""
        self._experiment = self._database.experiment(record.recipe)
        found = self._database.find_runs(self._experiment, {"folio.run": record.id})
        self._children |= {run.data.tags["folio.position"]: run.info.run_id for run in found if "folio.position" in run.data.tags}
        if self._parent:
            return
        parents = [run.info.run_id for run in found if "folio.position" not in run.data.tags]
        tags = {
            "mlflow.source.git.commit": record.git_commit,
            "folio.git_dirty": str(record.git_dirty),
            "folio.kind": "pipeline",
            "folio.recipe": record.recipe,
            "folio.run": record.id,
        }
        self._parent = parents[0] if parents else self._database.create_run(self._experiment, run_name(record), _ms(record.started), tags)
        recipe = yaml.safe_dump(record.configuration, sort_keys=False, allow_unicode=True)
        self._database.add_text(self._parent, "recipe.yaml", recipe)

    def _open_child(self, record: RunRecord, position: str, stage: StageRecord) -> None:
        if position in self._children:
            return
        tags = {
            "mlflow.parentRunId": self._parent,
            "folio.kind": "reused" if stage.status == "reused" else "stage",
            "folio.key": stage.key,
            "folio.run": record.id,
            "folio.position": position,
        }
        name = f"{position} (reused)" if stage.status == "reused" else position
        self._children[position] = self._database.create_run(self._experiment, name, _ms(stage.began), tags)
        parameters = {path.removeprefix("."): value for path, value in flatten(stage.config, "").items()} if stage.config else {}
        self._database.describe(self._children[position], name, {}, parameters)

    def _add_series(self, record: RunRecord) -> None:
        for number, rows in read_series(self._store, record.id, self._next_series):
            positions = dict.fromkeys(row.position for row in rows)
            if record.status == "running" and not self._children.keys() >= positions.keys():
                return  # a stage has begun since the record was read, which the next record shows
            for position in positions:
                if position in self._children:
                    metrics = [MetricRow(row.metric, row.value, row.step, row.time) for row in rows if row.position == position]
                    self._database.add_metrics(self._children[position], metrics)
            self._next_series = number + 1

    def _close_child(self, record: RunRecord, position: str, stage: StageRecord, made: Sequence[Artifact]) -> None:
        run_id, ended = self._children[position], _ms(stage.ended or record.ended)
        tags = {WORDS[stage.status]: stage.error} if stage.status in WORDS else {}
        if record.status == "crashed" and stage.status == "stopped":
            tags = {"folio.crashed": stage.error}
        if made:
            tags |= _identity(made) | {"folio.made_by": ", ".join(self._makers(made)) if stage.status == "reused" else run_id}
            accepted = {record.positions[p].accepted for p in record.positions if without_shard(p) == position} - {""}
            tags |= {"folio.accepted": "; ".join(sorted(accepted))} if accepted else {}
            at = record.positions.get(position)
            tags |= {"folio.answer": at.answer} if at and at.answer else {}
            retries = sum(record.positions[p].retries for p in record.positions if without_shard(p) == position)
            tags |= {"folio.retries": str(retries)} if retries else {}
            reused = sum(record.positions[p].action == "reused" for p in record.positions if without_shard(p) == position)
            if len(made) > 1 and stage.status == "executed":
                tags["folio.shards"] = f"{len(made) - reused} executed, {reused} reused"
            self._database.add_data(run_id, {**_inputs(made), "output": [artifact.reference() for artifact in made]}, self._store.url)
            model_id = self._model(record, position, stage, made[0])
            rows = [MetricRow(name, value, 0, ended, model_id) for name, value in summed_metrics(made).items()]
            if stage.status == "executed":
                costs = total_cost(made).model_dump()
                rows += [MetricRow(f"cost.{name}", value, 0, ended) for name, value in costs.items()]
            self._database.add_metrics(run_id, rows)
            if stage.is_model and stage.status == "executed":
                self._database.add_models(run_id, [model_id])
            if link := self._maker_link(made) if stage.status == "reused" else "":
                tags["mlflow.note.content"] = f"Reused; made by {link}."
        name = f"{position} (reused)" if stage.status == "reused" else position
        self._database.describe(run_id, name, {**tags, "folio.kind": "reused" if stage.status == "reused" else "stage"}, {})
        self._database.end_run(run_id, STAGE_ENDS[stage.status], ended)

    def _model(self, record: RunRecord, position: str, stage: StageRecord, made: Artifact) -> str:
        """Return the LoggedModel that a stage's metrics describe: what it made, or the model among its inputs, or "".

        A model belongs to the run that made it, so of one that is reused that run is told first.
        """
        if not stage.is_model:
            return next((self._models[given.address] for given in made.inputs.values() if given.address in self._models), "")
        if made.address not in self._models:
            folder = self._store.local(made)
            small = (file.path for file in made.files if Path(file.path).suffix in {".json", ".md"} and file.size < SMALL_FILE)
            files = [folder / path for path in small if "/" not in path]
            tags = {"folio.digest": made.digest, "folio.address": made.address, "folio.location": made.location}
            maker = self._journal.read(made.origin.run_id) if made.origin.run_id not in ("", record.id) else None
            if maker and maker.recipe == record.recipe and not self._database.knows_model(self._experiment, made.digest):
                RunExport(self._database, self._journal)._tell(maker)
            self._models[made.address] = self._database.model(self._experiment, position, self._children[position], tags, files)
        return self._models[made.address]

    def _close(self, record: RunRecord, made: Mapping[str, Sequence[Artifact]]) -> dict[str, str]:
        """Close the parent run; return the versions of the models that the run registers."""
        ended = _ms(record.ended)
        shown = headline(record, made)
        self._database.add_metrics(self._parent, [MetricRow(name, value, 0, ended) for name, value in shown.items()])
        # What the recipe's runs are compared by: sizes and how good its models are, not verdicts and cost.
        columns = [name for name in shown if not name.startswith(("gate.", "cost."))]
        self._database.describe_experiment(self._experiment, {"folio.recipe": record.recipe}, columns, ended)
        self._database.add_text(self._parent, "metrics.csv", metrics_table(made))
        if record.page and (page := Path(record.page)).is_file():
            self._database.add_text(self._parent, "report.html", page.read_text(encoding="utf-8"))
        roots = {p: [a.reference() for a in artifacts] for p, artifacts in made.items() if artifacts and not artifacts[0].inputs}
        self._database.add_data(self._parent, roots, self._store.url)
        self._database.add_models(self._parent, self._models.values())
        versions: dict[str, str] = {}
        for model in record.registered:
            position = next((p for p, m in record.positions.items() if m.location == model.location), "")
            source = f"{self._store.url.rstrip('/')}/{model.location}"
            # A version needs no LoggedModel: the exported directory is made from one, and named by its digest.
            version = self._database.version(model.name, model.digest, source, self._children.get(position, ""), "")
            written = [Path(record.card)] if record.card else []
            cards = (*written, *(self._store.local(a) / CARD for a in made.get(position, ())))
            card = next((path for path in cards if path.is_file()), None)
            tags = {"folio.location": model.location, "folio.run": record.id, "folio.standing": model.reason} | {
                name: f"{value:.6g}" for name, value in shown.items()
            }
            self._database.describe_version(version, card.read_text(encoding="utf-8") if card else "", tags)
            if model.alias:
                self._database.move_alias(version, model.alias, record.id)
            versions[model.digest] = str(version.version)
        self._database.end_run(self._parent, ENDS[record.status], ended)
        return versions

    def _artifacts(self, record: RunRecord, position: str) -> list[Artifact]:
        """Return the artifacts of a stage whose records are still in the store."""
        found = (self._store.index.read(m.location) for p, m in record.positions.items() if without_shard(p) == position)
        return [artifact for artifact in found if isinstance(artifact, Artifact)]

    def _makers(self, made: Sequence[Artifact]) -> list[str]:
        """Return the MLflow ids of the runs that made a stage's artifacts."""
        origins = dict.fromkeys((a.origin.run_id, a.origin.mlflow_run_id) for a in made)
        exports = (mlflow_run or self._page_of(run_id) for run_id, mlflow_run in origins)
        return [run_id for run_id in exports if run_id]

    def _page_of(self, run_id: str) -> str:
        """Return the MLflow id of a run, or "". One that MLflow has yet to be told of gets its page now; its own follower fills it."""
        told = self._journal.exported(run_id) or ExportRecord()
        if told.mlflow_run_id or not self._journal.owes(run_id, self._database.uri):
            return told.mlflow_run_id
        if run_id not in self._opened and (maker := self._journal.read(run_id)):
            page = RunExport(self._database, self._journal)
            page._open(maker)
            self._opened[run_id] = page._parent
        return self._opened.get(run_id, "")

    def _maker_link(self, made: Sequence[Artifact]) -> str:
        makers = self._makers(made)
        return f"[run {made[0].origin.run_id or makers[0]}](#/experiments/{self._experiment}/runs/{makers[0]})" if makers else ""


def _ms(moment: str) -> int:
    """Return an ISO 8601 time in milliseconds since 1970."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _inputs(made: Sequence[Artifact]) -> dict[str, list[InputRecord]]:
    given: dict[str, list[InputRecord]] = {}
    for artifact in made:
        for name, value in artifact.inputs.items():
            given.setdefault(without_shard(name), []).append(value)
    return given


def _identity(made: Sequence[Artifact]) -> dict[str, str]:
    """Return address, digest and location as tags; the digest of shards is combined."""
    digest = made[0].digest if len(made) == 1 else combined_digest(artifact.digest for artifact in made)
    return {"folio.address": made[0].address, "folio.digest": digest, "folio.location": ", ".join(artifact.location for artifact in made)}

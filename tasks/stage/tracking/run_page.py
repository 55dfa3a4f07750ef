"""Describe a run for MLflow and Prefect from its record alone: its name, its description, and a table of all metrics."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.store.journal import RunRecord, StageRecord
from tasks.stage.store.run_record import NEVER
from tasks.stage.tracking.cost import Rates, total_cost

LONGEST_CHANGE = 60
HEADLINES = 20
SETTING = re.compile(r"([\w.\[\]]+): .* -> .*")


def stages_of(record: RunRecord) -> dict[str, StageRecord]:
    """Return the stages of a run; for a record from before they were recorded, what its artifacts say of them."""
    if record.stages:
        return record.stages
    found: dict[str, StageRecord] = {}
    for position, made in record.positions.items():
        times = {"began": record.started, "ended": record.ended or record.started}
        found.setdefault(without_shard(position), StageRecord(status=made.action, key=made.key, **times))
    return found


def run_name(record: RunRecord) -> str:
    """Return a name that tells a run from others of its recipe: the recipe, when it began, and what had changed."""
    return f"{record.recipe} {datetime.fromisoformat(record.started):%Y-%m-%d %H:%M} {what_changed(record)}".rstrip()


def what_changed(record: RunRecord) -> str:
    """Return in a few words why a run executed something; a change of an input is told by what changed before it."""
    text = ", ".join(changes_of(record))
    return text if len(text) <= LONGEST_CHANGE else f"{text[: LONGEST_CHANGE - 1].rstrip(' ,')}…"


def changes_of(record: RunRecord) -> list[str]:
    """Return why a run executed something, each cause in a few words; of one that has not finished and executed nothing, none."""
    executed = {position: made.causes for position, made in record.positions.items() if made.action == "executed"}
    if not executed:
        return ["nothing changed"] if record.status == "finished" else []
    causes = [(without_shard(position), cause) for position, given in executed.items() for cause in given]
    if all(cause == NEVER or cause.startswith("input ") for _, cause in causes):
        return ["first run" if len(executed) == len(record.positions) else f"new: {next(iter(executed))}"]
    return list(dict.fromkeys(_words(position, cause) for position, cause in causes if cause != NEVER and not cause.startswith("input ")))


def _words(position: str, cause: str) -> str:
    setting = SETTING.fullmatch(cause)
    return f"{position}.{setting[1]}" if setting else cause


def description(record: RunRecord, made_by: Mapping[str, str]) -> str:
    """Return a run's description in Markdown. `made_by`: for each reused stage, a link to the run that made it."""
    words = {"failed": "failed", "stopped": "was stopped", "crashed": "crashed", "running": "is running", "finished": "finished"}
    error = f" {record.error}" if record.error else ""
    lines = [record.description or f"**{record.recipe}** {words[record.status]}.{error}"]
    lines += ["", f"folio's run `{record.id}`; `folio compare` and `folio lineage` take this id."]
    if made_by:
        lines += ["", "Reused:", "", *(f"* {position}: {link}" for position, link in made_by.items())]
    return "\n".join(lines)


def summed_metrics(artifacts: Iterable[Artifact]) -> dict[str, float]:
    """Return the metrics of a stage, summed over its shards."""
    sums: dict[str, float] = {}
    for artifact in artifacts:
        for name, value in artifact.metrics.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def headline(record: RunRecord, stages: Mapping[str, Sequence[Artifact]]) -> dict[str, float]:
    """Return a run's key metrics for comparing runs: those it named, or else the first of all; and its cost."""
    artifacts = [artifact for made in stages.values() for artifact in made]
    whole = total_cost(artifacts)
    money = Rates.model_validate(record.configuration.get("rates", {})).price(whole)
    spent = {f"cost.total.{name}": value for name, value in whole.model_dump().items()}
    named = record.headline or dict(list(all_metrics(stages).items())[:HEADLINES])
    return named | spent | ({} if money is None else {"cost.total.money": money})


def all_metrics(stages: Mapping[str, Sequence[Artifact]]) -> dict[str, float]:
    """Return every metric of a run as `<position>.<metric>`."""
    return {f"{position}.{name}": value for position, made in stages.items() for name, value in summed_metrics(made).items()}


def metrics_table(stages: Mapping[str, Sequence[Artifact]]) -> str:
    """Return every metric of a run as CSV, which MLflow shows as a table."""
    text = io.StringIO()
    rows = ([position, name, value] for position, made in stages.items() for name, value in sorted(summed_metrics(made).items()))
    csv.writer(text, lineterminator="\n").writerows([["stage", "metric", "value"], *rows])
    return text.getvalue()

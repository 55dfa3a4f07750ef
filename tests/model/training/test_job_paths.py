"""A job may name its inputs from the folder that it is launched in: what workers are given is absolute."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model.training.config import PpoConfig, SftConfig
from model.training.job import Job
from model.training.launch.launch import launch
from tests.model.jobs import JobMaker, follow_up
from tests.model.training.rollout_jobs import RolloutJobMaker
from tests.model.training.rollout_jobs import make_rollout_job as make_rollout_job
from tests.model.training.test_ppo_jobs import judge as judge

from .alone import train_here

RELATIVE = "some/where"


def paths_in(schema: dict[str, Any], value: Any, names: dict[str, Any], at: str = "") -> Iterator[tuple[str, str]]:
    """Yield (where, path) of every value that a JSON schema calls a path. `names`: its definitions."""
    if reference := schema.get("$ref"):
        yield from paths_in(names[reference.rpartition("/")[2]], value, names, at)
    if schema.get("format") == "path" and value:
        yield at, value
    for kind in ("anyOf", "oneOf", "allOf"):
        for choice in schema.get(kind, ()):
            yield from paths_in(choice, value, names, at)
    for name, inner in schema.get("properties", {}).items() if isinstance(value, dict) else ():
        if name in value:
            yield from paths_in(inner, value[name], names, f"{at}.{name}".lstrip("."))
    for number, item in enumerate(value) if isinstance(value, list) else ():
        yield from paths_in(schema.get("items") or {}, item, names, f"{at}[{number}]")


def with_relative_paths(part: Any) -> Any:
    """Return a part of a job in which all that the schema calls a path is relative."""
    properties, changed = type(part).model_json_schema()["properties"], {}
    for name, field in type(part).model_fields.items():
        if '"format": "path"' in json.dumps(properties[name]):
            changed[name] = RELATIVE if field.annotation is str else Path(RELATIVE)
        elif hasattr(value := getattr(part, name), "model_fields"):
            changed[name] = with_relative_paths(value)
    return part.model_copy(update=changed)


def test_every_path_of_a_job_file_is_absolute_wherever_the_schema_has_one(
    make_job: JobMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written = json.loads(with_relative_paths(make_job()).absolute().model_dump_json())
    schema = Job.model_json_schema()
    found = dict(paths_in(schema, written, schema["$defs"]))
    assert {"replayed", "reward_model", "retained", "train_shards", "output", "resources.parallel.hostfile"} <= found.keys()
    assert set(found.values()) == {str(tmp_path / RELATIVE)}


def relative_to(folder: Path, job: Job) -> Job:
    """Return a job with its paths relative to a folder."""
    given = {name: value for name in Job.model_fields if isinstance(value := getattr(job, name), Path)}
    return job.model_copy(update={name: Path(os.path.relpath(value, folder)) for name, value in given.items()})


def launched_paths(job: Job, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Launch a job by paths relative to a folder; return those in its job file, as they read from another folder."""
    monkeypatch.chdir(folder)
    launch(relative_to(folder, job))
    monkeypatch.chdir("/")
    schema = Job.model_json_schema()
    written = json.loads((job.run_directory() / "job.json").read_text())
    return {name: Path(value) for name, value in paths_in(schema, written, schema["$defs"])}


def test_a_step_that_replays_rows_and_retains_models_is_launched_by_relative_paths(
    make_job: JobMaker, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_job("base", steps=1, eval_rows=0)
    train_here(base)
    config = SftConfig(steps=2, global_batch=4, learning_rate=1e-3, replay=0.5)
    job = follow_up(base, shards, config, "replaying")
    resources = job.resources.model_copy(update={"keep_every_steps": 1, "keep_in": "kept"})
    job = job.model_copy(update={"replayed": shards, "retained": tmp_path / "kept", "resources": resources})
    found = launched_paths(job, tmp_path, monkeypatch)
    assert found["replayed"] == shards and list(found["retained"].rglob("model.safetensors"))
    assert all(path.exists() for path in found.values())


def test_a_policy_that_a_reward_model_scores_is_launched_by_relative_paths(
    make_rollout_job: RolloutJobMaker, judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    returns = {"kl_target": 0.05, "horizon": 32}
    job = make_rollout_job(kind=PpoConfig, reward_model="reward", returns=returns, judge=judge, steps=1)
    found = launched_paths(job, tmp_path, monkeypatch)
    assert found["reward_model"] == judge
    assert all(path.exists() for path in found.values())

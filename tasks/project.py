"""This repository, as the stage machinery is told of it. No stage, since it only declares what counts and what does not.

`EXECUTION` lists definitions that can't change a byte of any artifact, each with the reason. List a definition only if no counted code uses
its result. Whole files are named by their path, single definitions by `path:qualname`, and everything at or below a folder by a path that
ends in `/`.
"""

from __future__ import annotations

from pathlib import Path

from model.hardware.devices import product_environment
from tasks.stage.identity.tracing.source import Project

EXECUTION: dict[str, str] = {
    "tasks/forecast/": "what a plan expects of executions",
    "tasks/lineage/": "what lineage asks of artifacts that are made",
    "tasks/reporting/": "what the report shows of artifacts that are made",
    "model/training/telemetry/progress.py": "progress and heartbeats: lines for the launcher, and files that are touched",
    "model/training/telemetry/telemetry.py": "times, speed and memory of steps, which go to logs that are no part of an artifact's digest",
    "model/training/launch/commands.py": "command lines and environment of workers; what they compute follows from the job file alone",
    "model/training/launch/lifeline.py": "workers end with their launcher, report why, and are recorded",
    "model/training/launch/processes.py": "starts workers, collects their last words, and ends them",
    "model/training/launch/torchrun.py": "starts workers of one machine",
    "model/training/launch/launch.py:_follow": "waits for workers; the speed that it returns is telemetry",
    "model/training/launch/launch.py:_waiting": "a line of progress",
    "model/training/launch/launch.py:_reason": "the text of an error",
    "model/training/launch/launch.py:_resume_point": "a note on an error",
    "model/training/launch/launch.py:_let_others_end": "a wait before an error",
    "model/training/launch/launch.py:_sigterm_raises": "a signal becomes an error",
    "model/training/launch/launch.py:_Terminated": "that error",
    "model/planning/": "estimates, by which people and workers choose",
    "model/training/micro_batch.py": "a micro-batch chosen by memory changes rounding alone, like every value of `resources`",
    "model/hardware/peak.py": "the peak that MFU is relative to, and the memory of a process",
    "model/hardware/waiting.py": "how threads wait for each other: awake or asleep, they compute the same",
}

LIBRARIES = (
    "sqlite3",
    "zoneinfo",
    "xml.etree.ElementTree",
    "psutil",
    "numpy",
    "pydantic.main",
    "pydantic.types",
    "pydantic.functional_validators",
    "pydantic.type_adapter",
    "fsspec",
    "pyarrow",
    "pyarrow.compute",
    "pyarrow.parquet",
    "pandas",  # pyarrow imports it by itself, at the first conversion
    "duckdb",
    "ftfy",
    "jinja2",
    "tokenizers",
    "torch",
    "safetensors.torch",
)
"""Libraries that most stages use; each stage imports any others itself."""

FOLIO = Project(
    root=Path(__file__).resolve().parents[1],
    packages=("flows", "tasks", "data", "model"),
    execution=EXECUTION,
    tag="kind",
    libraries=LIBRARIES,
    environment=product_environment(),
)

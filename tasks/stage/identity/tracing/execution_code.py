"""The table of execution code: definitions that can't change a byte of any artifact, each with the reason.

List a definition only if no counted code uses its result. Whole files are named by their path, single definitions by
`path:qualname`, and everything at or below a folder by a path that ends in `/`.
"""

from __future__ import annotations

EXECUTION: dict[str, str] = {
    "tasks/stage/": "the stage machinery moves bytes and decides nothing about them",
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

FOLDERS = tuple(name for name in EXECUTION if name.endswith("/"))


def is_execution(path: str, qualname: str = "") -> bool:
    """Return whether a file, or a definition in it, is execution code."""
    if path in EXECUTION or f"{path}:{qualname}" in EXECUTION:
        return True
    outer = qualname.rpartition(".")[0]
    if outer and f"{path}:{outer}" in EXECUTION:
        return True
    return path.startswith(FOLDERS)


def is_execution_module(module: str) -> bool:
    """Return whether a module, by its dotted name, lies in a folder of execution code."""
    return f"{module.replace('.', '/')}/".startswith(FOLDERS)

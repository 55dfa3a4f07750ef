"""Stages: library functions as cached, traced and crash-safe steps of a pipeline. Nothing here knows what a pipeline computes.

A stage's file uses `stage` and `workspace`, a flow `execution/run_context`. One call, such as `counted = count(recipe.count, words=text)`
in a flow, goes through nine files, the flow's and the stage's own among them:

1. the flow calls the stage, within a run that `open_run` has opened (`execution/run_context`): the store is in use, the source is frozen.
2. `stage.py`: `Stage.__call__` collects the ingredients of the key (config, digests of inputs, state of outside files).
3. `execution/plan.py`: `decide` looks for the key's artifacts in the store and recomputes the trace of each on the run's source. It answers
   reuse, run or wait, and why. A plan ends here.
4. `execution/execute.py`: `execute` runs a Prefect task for each decided call. A reused artifact is returned at once. For any other,
   `run_job` takes the key's lock and looks again, since another process may have made it meanwhile. Reports go to the journal and the log.
5. `execution/execute_stage.py`: `execute_stage` prepares a work folder, continues what an interrupted execution left if its code is the
   same, has the body run, turns its marks into the trace, and commits the output with its record by one rename.
6. `execution/bodies/run_body.py`: `run_body` asks the fork server for a process, sends it one request (JSON) and follows its messages:
   progress, metrics, log lines, then the result or the error.
7. `execution/bodies/fork_server.py`: a process that has loaded libraries and nothing of the repository forks. The child starts the recorder
   (`identity/tracing/recorder.py`), which from then on marks what is imported, executed and read.
8. `execution/bodies/body_process.py` rebuilds the config, imports the library function that the stage names as its body, and calls it with
   local paths and what else its parameters ask for (`workspace.py`: `Workspace.offers`).
9. the library function writes to `output`. Of a stage that names none, the stage's file is imported and its own body called instead.

A kill at any point leaves either the whole artifact or none: `store/publish.py` says how. `recovery` closes runs whose process has died.

The folders import one way: system <- identity <- store <- tracking <- recovery <- execution.
"""

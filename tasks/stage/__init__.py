"""What makes a function a stage, and nothing else; it knows nothing of text or training.

One call, from a chapter's line such as `pretrain(recipe.pretraining, shards=packed)` to the body of the stage, in the order in which it
passes the files of this room:

1. `stage.py`: `Stage.__call__` builds the ingredients of the key: stage, config, digests of the inputs, what it observes of local files.
2. `execution/plan.py`: `decide` lists the artifacts with that key and compares their traces with today's source. The decision is *reuse*
   or *run*, with the exact cause. `folio plan` ends here.
3. `execution/execute.py`: `execute` calls a Prefect task with the decision. `run_job` takes the key's lock; who waited for it looks again
   whether the artifact is there. The run's journal is told when a stage begins, ends or fails.
4. `execution/execute_stage.py`: `execute_stage` reads the inputs again, verified, and prepares a work folder of its own, or continues one
   whose trace still holds.
5. `execution/bodies/run_body.py`: `run_body` sends the call (config, paths, resources) as one JSON object and relays what the body tells:
   progress, log lines, series, signals.
6. `execution/bodies/fork_server.py`: forks a fresh process, which has loaded libraries and no module of the repository.
7. `execution/bodies/body_process.py`: installs the recorder, which marks every definition that is entered and every file that is opened,
   rebuilds the config, imports the stage's module, and calls its body.

Then back: the body returns its metrics; `execute_stage` computes the trace of the marks and commits files, record and trace to the store
(`store/publish.py`), under the token of its lock; `execute` reports to the journal, which a follower tells MLflow and Prefect.

The rooms import one way: system <- identity <- store <- tracking <- recovery <- execution. `stage` and `workspace` are what a stage's file
uses.
"""

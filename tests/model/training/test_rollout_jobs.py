"""Learning from rollouts: the same bytes after a kill, the same losses in every ZeRO stage, and what can't work refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from model.training.job import Job
from model.training.launch.launch import LaunchError, launch
from model.training.telemetry.step_log import read_lines
from tests.model.training.rollout_jobs import RolloutJobMaker
from tests.model.training.rollout_jobs import make_rollout_job as make_rollout_job
from tests.model.training.test_killed import start, wait_for, workers_of

FILES = ("model.safetensors", "history.jsonl")


def all_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same_result(job: Job, expected: Job) -> None:
    for name in FILES:
        assert (job.output / name).read_bytes() == (expected.output / name).read_bytes(), name
    assert all_files(job.output / "rollouts") == all_files(expected.output / "rollouts")


def killed_when(job: Job, folder: Path, condition: object) -> None:
    process = start(job, folder)
    wait_for(condition)
    process.kill()
    process.wait()
    wait_for(lambda: not workers_of(job), seconds=30)


def test_the_model_directory_holds_every_cycle_that_it_was_learned_from(make_rollout_job: RolloutJobMaker) -> None:
    job = make_rollout_job()
    metrics = launch(job)
    assert sorted(path.name for path in (job.output / "rollouts").iterdir()) == ["cycle-000000", "cycle-000001"]
    replies = [json.loads(line) for line in (job.output / "rollouts" / "cycle-000000" / "replies.jsonl").read_text().splitlines()]
    history = read_lines(job.output / "history.jsonl")
    assert len(replies) == 16 and metrics["steps"] == 6
    whole_epoch = (history[0]["reward"] + history[1]["reward"]) / 2
    assert whole_epoch == pytest.approx(sum(reply["reward"] for reply in replies) / 16)
    # Before the first update the policy is its own reference and sampler, so nothing is clipped and nothing pulls.
    assert history[0]["kl"] == pytest.approx(0, abs=1e-5) and history[0]["clipped"] == 0 and history[-1]["kl"] > 1e-4
    assert history[0]["loss"] == pytest.approx(history[0]["policy"] + 0.04 * history[0]["kl"])


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["sampling", "second cycle", "updating"])
def test_a_run_killed_with_signal_9_continues_and_ends_with_the_same_bytes(
    make_rollout_job: RolloutJobMaker, tmp_path: Path, moment: str
) -> None:
    long = {"steps": 40, "rollouts": {"max_new_tokens": 24, "prompts": 8, "group": 8}, "global_batch": 16}
    undisturbed, killed = make_rollout_job("undisturbed", **long), make_rollout_job("killed", **long)
    launch(undisturbed)
    rollouts, log = killed.checkpoints / "rollouts", killed.checkpoints / "history.jsonl"
    conditions = {
        "sampling": lambda: bool(workers_of(killed)) and log.exists(),
        "second cycle": lambda: log.exists() and len(read_lines(log)) >= 8,
        "updating": lambda: (rollouts / "cycle-000002").exists(),
    }
    killed_when(killed, tmp_path, conditions[moment])
    assert (rollouts / "cycle-000000").exists() == (moment != "sampling")
    launch(killed)
    assert_same_result(killed, undisturbed)


@pytest.mark.slow
def test_every_layout_of_two_workers_samples_the_same_replies_and_has_the_same_losses(make_rollout_job: RolloutJobMaker) -> None:
    alone = make_rollout_job("alone", steps=4)
    launch(alone)
    expected = [line["loss"] for line in read_lines(alone.output / "history.jsonl")]
    written = (alone.output / "rollouts" / "cycle-000000" / "replies.jsonl").read_bytes()
    layouts = {f"zero{stage}": {"zero_stage": stage} for stage in range(4)} | {"tensor": {"zero_stage": 1, "tensor": 2}}
    for name, layout in layouts.items():
        job = make_rollout_job(name, {"workers": 2, **layout}, steps=4)
        launch(job)
        assert (job.output / "rollouts" / "cycle-000000" / "replies.jsonl").read_bytes() == written, name
        found = [line["loss"] for line in read_lines(job.output / "history.jsonl")]
        print(f"{name}: largest difference {max(abs(a - b) for a, b in zip(found, expected, strict=True)):.1e}")
        assert found == pytest.approx(expected, abs=1e-4), name


@pytest.mark.slow
def test_a_run_continued_on_two_workers_asks_the_same_questions_in_the_same_order(
    make_rollout_job: RolloutJobMaker, tmp_path: Path
) -> None:
    alone, moved = make_rollout_job("alone", steps=40), make_rollout_job("moved", steps=40)
    launch(alone)
    killed_when(moved, tmp_path, (moved.checkpoints / "latest.json").exists)
    launch(moved.model_copy(update={"resources": make_rollout_job("two", {"workers": 2}).resources}))
    for cycle in range(10):
        path = Path("rollouts") / f"cycle-{cycle:06d}" / "replies.jsonl"
        asked = [[json.loads(line)["question"] for line in (job.output / path).read_text().splitlines()] for job in (alone, moved)]
        assert asked[0] == asked[1]


def test_what_can_not_work_is_refused_by_name(make_rollout_job: RolloutJobMaker, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"kind=grpo with pipeline=2.*use pipeline=1"):
        make_rollout_job(resources={"workers": 2, "pipeline": 2})
    with pytest.raises(ValidationError, match=r"global_batch=5 does not divide the 16 replies of rollouts.prompts=4 \* rollouts.group=4"):
        make_rollout_job(global_batch=5)
    with pytest.raises(ValidationError, match=r"batch_warmup_steps=2 does not fit kind=grpo"):
        make_rollout_job(batch_warmup_steps=2, batch_warmup_from=4)
    job = make_rollout_job()
    fields = job.model_dump()
    with pytest.raises(ValidationError, match="questions is missing: kind=grpo learns from questions and tokenizer"):
        Job.model_validate({**fields, "questions": None})
    with pytest.raises(ValidationError, match="train_shards is given, but kind=grpo reads questions and tokenizer; leave it out"):
        Job.model_validate({**fields, "train_shards": tmp_path})
    assert job.questions is not None
    with job.questions.open("a") as stream:
        stream.write(json.dumps({"question": "Who " * 60, "answers": ["a"]}) + "\n")
    with pytest.raises(LaunchError, match=r"question 8 is \d+ tokens .* lower max_new_tokens"):
        launch(job)

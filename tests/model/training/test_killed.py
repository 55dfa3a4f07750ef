"""When a launcher is killed or stopped, or a worker fails, no process is left alive and no checkpoint is lost."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from model.training.job import Job, JobError
from model.training.launch import processes
from model.training.launch.launch import LaunchError, launch
from model.training.telemetry.progress import Progress
from tests.crash.disks import fill_up, small_disk
from tests.model.jobs import JobMaker

LAUNCH = """
import sys
from pathlib import Path
from model.training.job import Job
from model.training.launch.launch import launch
launch(Job.model_validate_json(Path(sys.argv[1]).read_text()))
"""
SLOW = {"steps": 200, "eval_rows": 0}


def start(job: Job, folder: Path) -> subprocess.Popen[bytes]:
    job_file = folder / f"{job.output.parent.name}.json"
    job_file.write_text(job.model_dump_json())
    return subprocess.Popen([sys.executable, "-c", LAUNCH, str(job_file)], cwd=Path(__file__).parents[3])


def wait_for(condition: object, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def killed_after_a_checkpoint(job: Job, folder: Path) -> int:
    """Launch, kill -9 the launcher once a checkpoint is current, and wait for its workers to be gone; return that checkpoint's step."""
    process = start(job, folder)
    wait_for((job.checkpoints / "latest.json").exists)
    process.kill()
    process.wait()
    wait_for(lambda: not workers_of(job), seconds=30)
    return int(json.loads((job.checkpoints / "latest.json").read_text())["step"])


def workers_of(job: Job) -> list[psutil.Process]:
    mark = str(job.run_directory())
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if any(mark in word for word in words) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_killed_with_signal_9_continues_and_ends_with_the_same_bytes(make_job: JobMaker, tmp_path: Path, workers: int) -> None:
    resources = {"workers": workers, "checkpoint_every_steps": 10}
    undisturbed, killed = make_job("undisturbed", resources, **SLOW), make_job("killed", resources, **SLOW)
    launch(undisturbed)
    step = killed_after_a_checkpoint(killed, tmp_path)
    notes: list[str] = []
    launch(killed, on_progress=lambda progress: notes.append(progress.note))
    assert any(note.startswith(f"continuing from the checkpoint of step {step};") for note in notes) and 0 < step < 200
    for name in ("model.safetensors", "history.jsonl"):
        assert (killed.output / name).read_bytes() == (undisturbed.output / name).read_bytes(), name


@pytest.mark.slow
def test_a_stopped_run_saves_a_checkpoint_first(make_job: JobMaker, tmp_path: Path) -> None:
    job = make_job("stopped", {"checkpoint_every_steps": 10_000}, **SLOW)
    process = start(job, tmp_path)
    wait_for(lambda: (job.checkpoints / "history.jsonl").exists() and len((job.checkpoints / "history.jsonl").read_text().splitlines()) > 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) != 0
    assert not workers_of(job)
    assert json.loads((job.checkpoints / "latest.json").read_text())["step"] > 0


@pytest.mark.slow
def test_a_failing_workers_own_error_is_reported_and_no_worker_is_left_alive(make_job: JobMaker) -> None:
    job = make_job("failing", {"workers": 2}, learning_rate=1e30, clip=0.0)
    with pytest.raises(LaunchError, match=r"step \d+: the (loss|gradient norm) is (nan|inf).*learning_rate=1e\+30"):
        launch(job)
    assert not workers_of(job)


@pytest.mark.slow
def test_when_one_of_two_workers_is_killed_the_other_ends_and_the_job_can_resume(make_job: JobMaker) -> None:
    resources = {"workers": 2, "checkpoint_every_steps": 10}
    undisturbed, job = make_job("undisturbed", resources, **SLOW), make_job("halved", resources, **SLOW)
    launch(undisturbed)

    def kill_one(progress: Progress) -> None:
        if progress.step and (job.checkpoints / "latest.json").exists():
            workers_of(job)[-1].kill()

    with pytest.raises(LaunchError, match=r"worker \d was ended by signal 9 \(Killed\); the checkpoint of step \d+ of 200 is kept"):
        launch(job, on_progress=kill_one)
    assert not workers_of(job)
    launch(job)
    assert (job.output / "model.safetensors").read_bytes() == (undisturbed.output / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_hangs_is_named_and_ended_after_stall_seconds(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 1.0)
    resources = {"workers": workers, "stall_seconds": 15, "checkpoint_every_steps": 10}
    job = make_job("frozen", resources, **{**SLOW, "steps": 5000})
    frozen: list[int] = []

    def freeze(progress: Progress) -> None:
        if not frozen and progress.step and (job.checkpoints / "latest.json").exists():
            last = workers_of(job)[-1]
            last.send_signal(signal.SIGSTOP)
            frozen.append(int(last.environ()["RANK"]))

    with pytest.raises(LaunchError) as ended:
        launch(job, on_progress=freeze)
    assert re.search(
        rf"no progress for stall_seconds=15, worker {frozen[0]} gave no sign of life for \d+ s, so the workers were ended; "
        r"the checkpoint of step \d+ of 5000",
        str(ended.value),
    )
    assert not workers_of(job)


def test_ctrl_c_saves_a_checkpoint_and_says_which(make_job: JobMaker) -> None:
    job = make_job("interrupted", {"checkpoint_every_steps": 10_000}, **SLOW)

    def interrupt(progress: Progress) -> None:
        if progress.step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        launch(job, on_progress=interrupt)
    step = json.loads((job.checkpoints / "latest.json").read_text())["step"]
    assert stopped.value.__notes__ == [f"the checkpoint of step {step} of 200 is kept"]
    assert not workers_of(job)


@pytest.mark.slow
def test_a_full_disk_is_reported_and_the_previous_checkpoint_stays_current(make_job: JobMaker, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "8m"):
        job = make_job("full", {"checkpoint_every_steps": 10}, **SLOW)
        job = job.model_copy(update={"checkpoints": disk / "checkpoints"})

        def fill(progress: Progress) -> None:
            if (job.checkpoints / "latest.json").exists() and not (disk / "ballast").exists():
                fill_up(disk / "ballast")

        with pytest.raises(
            LaunchError, match=r"(can't be written to .* bytes are free|No space left).*; the checkpoint of step \d+ of 200 is kept"
        ):
            launch(job, on_progress=fill)
        assert not workers_of(job)
        (disk / "ballast").unlink()
        notes: list[str] = []
        launch(job, on_progress=lambda progress: notes.append(progress.note))
        assert any("continuing from the checkpoint" in note for note in notes)


@pytest.mark.slow
def test_an_error_in_the_caller_stops_the_workers(make_job: JobMaker) -> None:
    class Enough(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step:
            raise Enough

    job = make_job("abandoned", **SLOW)
    with pytest.raises(Enough):
        launch(job, on_progress=stop)
    assert not workers_of(job)


def test_a_time_limit_and_a_silence_end_the_run(make_job: JobMaker) -> None:
    job = make_job("late", **{**SLOW, "steps": 100_000})
    with pytest.raises(LaunchError, match="not done within 8 s"):
        launch(job, time_limit_seconds=8)
    mute = make_job("mute", {"stall_seconds": 0.3})
    with pytest.raises(LaunchError, match="no progress for stall_seconds"):
        launch(mute)
    assert not workers_of(job) and not workers_of(mute)


@pytest.mark.slow
def test_a_checkpoint_of_another_job_is_refused(make_job: JobMaker, tmp_path: Path) -> None:
    job = make_job("mine", {"checkpoint_every_steps": 2})
    launch(job)
    other = job.model_copy(update={"seed": 6})
    with pytest.raises(LaunchError, match=r"belongs to job .*this is job .*remove"):
        launch(other)


@pytest.mark.slow
def test_shards_of_another_tokenizer_or_kind_are_refused(make_job: JobMaker, shards: Path) -> None:
    job = make_job("foreign")
    with pytest.raises(LaunchError, match="was encoded by tokenizer dddddddddddd, but tokenizer eeeeeeeeeeee"):
        launch(job.model_copy(update={"tokenizer_digest": "e" * 64}))
    with pytest.raises(LaunchError, match="holds preference rows; next_token reads"):
        launch(job.model_copy(update={"train_shards": shards / "preference"}))
    with pytest.raises((LaunchError, JobError), match=r"nowhere.*does not exist"):
        launch(job.model_copy(update={"train_shards": shards / "nowhere"}))

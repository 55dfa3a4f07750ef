"""Workers on other machines: what each launcher starts, how workers meet and stop, and that they end with their launcher.

With only one machine here, ssh and srun are scripts that run their command on it; torchrun and Slurm's variables are real.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from model.training.distributed import WorkerRank, rank_from_environment
from model.training.job import Job
from model.training.launch.commands import commands, worker_environment
from model.training.launch.hosts import Host, HostsError, chosen_hosts, first_of, read_hostfile, slurm_environment
from model.training.launch.launch import LaunchError, launch
from model.training.telemetry.progress import Progress
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import JobMaker, free_port

from .test_killed import start, wait_for, workers_of

SSH = """#!/bin/sh
# ssh [-o option]... host command
while [ "$1" = -o ]; do shift 2; done
echo "$1" >> "$(dirname "$0")/hosts"
exec sh -c "$2"
"""
SRUN = """#!/usr/bin/env python
import os, subprocess, sys, threading
words = sys.argv[1:]
tasks = int(next(word for word in words if word.startswith("--ntasks=")).partition("=")[2])
command = [word for word in words if not word.startswith("--")]
environment = {**os.environ, "SLURM_NTASKS": str(tasks), "SLURM_STEP_NODELIST": "127.0.0.1"}
running = [
    subprocess.Popen(command, stdin=subprocess.PIPE, env={**environment, "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)})
    for task in range(tasks)
]
def forward():
    while line := os.read(0, 64):
        for process in running:
            process.stdin.write(line)
            process.stdin.flush()
    for process in running:
        process.stdin.close()
threading.Thread(target=forward, daemon=True).start()
sys.exit(max(process.wait() for process in running))
"""


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hostfile of two hosts that are both this machine, and an ssh that reaches them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(SSH)
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    hostfile = tmp_path / "hostfile"
    hostfile.write_text("# two of a kind\n127.0.0.1 slots=1\n\nlocalhost slots=4  # the larger\n")
    return hostfile


@pytest.mark.parametrize(("name", "chosen"), [("OMP_WAIT_POLICY", "PASSIVE"), ("OMP_WAIT_POLICY", None), ("GOMP_SPINCOUNT", "1000")])
def test_threads_of_workers_wait_as_the_user_has_chosen(
    make_job: JobMaker, machines: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, chosen: str | None
) -> None:
    if chosen:
        monkeypatch.setenv(name, chosen)
    else:
        monkeypatch.delenv(name, raising=False)
    torchrun = {"workers": 2, "launcher": "torchrun", "rendezvous": "127.0.0.1:1"}
    for resources in ({}, {"workers": 2}, torchrun, {"workers": 2, "launcher": "slurm"}):
        (command,) = commands(make_job(resources=resources), tmp_path / "job.json")
        assert command.environment.get(name) == chosen
    for command in commands(make_job(resources=by_ssh(machines)), tmp_path / "job.json"):
        assert (f"{name}={chosen} " in command.words[-1]) is (chosen is not None)


@pytest.mark.parametrize("chosen", ["", "glibc.pthread.rseq=0", "glibc.malloc.arena_max=2"])
def test_workers_keep_the_memory_they_free_unless_the_user_has_settings_of_the_allocator(
    make_job: JobMaker, machines: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str
) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", chosen)
    kept = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776:glibc.malloc.hugetlb=1"
    expected = chosen if "malloc" in chosen else ":".join(filter(None, (chosen, kept)))
    (command,) = commands(make_job(), tmp_path / "job.json")
    assert command.environment["GLIBC_TUNABLES"] == expected
    for command in commands(make_job(resources=by_ssh(machines)), tmp_path / "job.json"):
        assert f"GLIBC_TUNABLES={expected} " in command.words[-1]


def test_a_worker_asks_the_system_for_the_same_memory_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    kept, returned = (faults({**os.environ, **more}) for more in (worker_environment(), {}))
    assert kept < returned / 10


def faults(environment: dict[str, str]) -> int:
    """Return how many pages a process is given while it makes a tensor of 64 MB twenty times, after the first."""
    program = """
import resource, torch
def made():
    torch.full((2**24,), 1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = made()
print([made() for _ in range(20)][-1] - first)
"""
    return int(subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True).stdout)


def by_ssh(hostfile: Path, **more: object) -> dict[str, object]:
    return {"workers": 2, "nodes": 2, "launcher": "hostfile", "hostfile": str(hostfile), "port": free_port(), **more}


def test_a_hostfile_has_the_format_of_deepspeed_and_mpi(machines: Path) -> None:
    assert read_hostfile(machines) == [Host("127.0.0.1", 1), Host("localhost", 4)]
    assert chosen_hosts(machines, 1, 1) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("text", "nodes", "each", "message"),
    [
        ("a slots=x", 1, 1, r"line 1: 'a slots=x' is not `host slots=N`"),
        ("-oProxyCommand=evil slots=1", 1, 1, "line 1.*is not"),
        ("a slots=1\na slots=2", 1, 1, "line 2: a is listed twice"),
        ("a slots=8", 2, 1, "names 1 hosts; nodes=2"),
        ("a slots=2\nb slots=1", 2, 2, "gives b slots=1; 2 workers"),
    ],
)
def test_a_bad_hostfile_is_refused_by_line_and_host(tmp_path: Path, text: str, nodes: int, each: int, message: str) -> None:
    path = tmp_path / "hostfile"
    path.write_text(text)
    with pytest.raises(HostsError, match=message):
        chosen_hosts(path, nodes, each)
    with pytest.raises(HostsError, match="can't be read"):
        read_hostfile(tmp_path / "none")


@pytest.mark.parametrize(
    ("nodelist", "first"),
    [("node1", "node1"), ("node1,node2", "node1"), ("gpu[03-07,12],login1", "gpu03"), ("rack[2,4]-ib,x", "rack2-ib"), ("a[7]", "a7")],
)
def test_workers_meet_at_the_first_node_of_a_slurm_list(nodelist: str, first: str) -> None:
    assert first_of(nodelist) == first
    variables = {
        "SLURM_PROCID": "5",
        "SLURM_LOCALID": "1",
        "SLURM_NTASKS": "8",
        "SLURM_NODELIST": nodelist,
        "SLURM_TASKS_PER_NODE": "4(x2)",
    }
    assert slurm_environment(variables, 29_501) == {
        "RANK": "5",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "8",
        "MASTER_ADDR": first,
        "MASTER_PORT": "29501",
        "LOCAL_WORLD_SIZE": "4",
    }
    assert slurm_environment({**variables, "RANK": "0"}, 29_501) == {}, "another launcher's variables take precedence over Slurm's"


def test_slurms_variables_give_a_worker_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "")  # so that what is set here is taken back afterwards
        monkeypatch.delenv(name)
    for name, value in (("PROCID", "3"), ("LOCALID", "1"), ("NTASKS", "4"), ("NODELIST", "n[1-2]")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert rank_from_environment(29_500) == WorkerRank(3, 1, 4)
    assert os.environ["MASTER_ADDR"] == "n1"


def test_each_launcher_starts_what_it_says(make_job: JobMaker, machines: Path) -> None:
    job_file = Path("/shared/run/job.json")
    ssh = commands(make_job("ssh", by_ssh(machines, port=29_555)), job_file)
    assert [command.name for command in ssh] == ["torchrun on 127.0.0.1", "torchrun on localhost"]
    assert ssh[1].words[:2] == ("ssh", "-o") and ssh[1].words[-2] == "localhost"
    meeting = ("--node-rank=1", "--nnodes=2", "--nproc-per-node=1", "--rdzv-endpoint=127.0.0.1:29555")
    for word in (*meeting, "GLOO_SOCKET_IFNAME=lo", str(job_file)):
        assert word in ssh[1].words[-1].split()
    (slurm,) = commands(make_job("slurm", {"workers": 8, "nodes": 2, "launcher": "slurm", "micro_batch": 0}), job_file)
    assert slurm.words[:5] == ("srun", "--nodes=2", "--ntasks=8", "--ntasks-per-node=4", "--kill-on-bad-exit=1")
    rendezvous = {"workers": 4, "nodes": 2, "launcher": "torchrun", "rendezvous": "node1:29400", "micro_batch": 2}
    (torchrun,) = commands(make_job("torchrun", rendezvous), job_file)
    for word in ("--nnodes=2", "--nproc-per-node=2", "--rdzv-endpoint=node1:29400", "--max-restarts=0"):
        assert word in torchrun.words
    (alone,) = commands(make_job("alone"), job_file)
    assert alone.words[1:] == ("-m", "model.training.launch.worker", str(job_file))
    (local,) = commands(make_job("local", {"workers": 2}), job_file)
    for word in ("model.training.launch.torchrun", "--nnodes=1", "--nproc-per-node=2", "--max-restarts=0"):
        assert word in local.words


@pytest.mark.slow
def test_workers_started_by_ssh_train_what_one_process_trains(make_job: JobMaker, machines: Path) -> None:
    alone, spread = make_job("alone"), make_job("spread", by_ssh(machines))
    launch(alone)
    launch(spread)
    assert sorted((machines.parent / "bin" / "hosts").read_text().split()) == ["127.0.0.1", "localhost"]
    expected, found = ([line["loss"] for line in read_lines(job.output / "history.jsonl")] for job in (alone, spread))
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_remote_workers_stop_at_a_checkpoint_and_die_with_a_launcher_killed_by_signal_9(
    make_job: JobMaker, machines: Path, tmp_path: Path
) -> None:
    job = make_job("far", by_ssh(machines, checkpoint_every_steps=10_000), steps=2_000, eval_rows=0)

    def interrupt(progress: Progress) -> None:
        if progress.step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        launch(job, on_progress=interrupt)
    assert "the checkpoint of step" in stopped.value.__notes__[0]
    assert not workers_of(job)
    process = start(job, tmp_path)
    wait_for((job.run_directory() / "progress.jsonl").exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not workers_of(job), seconds=30)


@pytest.mark.slow
def test_a_remote_workers_error_is_reported_and_ends_all(make_job: JobMaker, machines: Path) -> None:
    job = make_job("failing", by_ssh(machines)).model_copy(update={"tokenizer_digest": "e" * 64})
    with pytest.raises(LaunchError, match=r"ShardError: .*encode it again"):
        launch(job)
    assert not workers_of(job)


@pytest.mark.slow
def test_srun_starts_workers_that_find_each_other_by_slurms_variables(
    make_job: JobMaker, machines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srun = machines.parent / "bin" / "srun"
    srun.write_text(SRUN)
    srun.chmod(0o755)
    job = make_job("slurm", {"workers": 2, "launcher": "slurm", "port": free_port()})
    launch(job)
    assert len(read_lines(job.output / "history.jsonl")) == 6


@pytest.mark.slow
def test_two_nodes_of_torchrun_meet_and_train_what_one_process_trains(
    make_job: JobMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    endpoint = f"127.0.0.1:{free_port()}"
    alone = make_job("alone")
    job = make_job("nodes", {"workers": 2, "nodes": 2, "launcher": "torchrun", "rendezvous": endpoint})
    launch(alone)
    other: list[subprocess.Popen[bytes]] = []

    def start_the_other_node(progress: Progress) -> None:
        if "on each of them" in progress.note:
            command = progress.note.partition(": ")[2]
            other.append(subprocess.Popen(command.split(), cwd=Path(__file__).parents[3]))

    launch(job, on_progress=start_the_other_node)
    assert other[0].wait(60) == 0
    expected, found = ([line["loss"] for line in read_lines(run.output / "history.jsonl")] for run in (alone, job))
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_worker_that_does_not_see_the_job_file_says_on_which_machine() -> None:
    worker = [sys.executable, "-m", "model.training.launch.worker", "/elsewhere/run/job.json"]
    done = subprocess.run(
        worker, capture_output=True, env={**os.environ, "FOLIO_REPORTS": "stdout"}, cwd=Path(__file__).parents[3], check=False, timeout=120
    )
    assert done.returncode == 1
    assert f"{socket.gethostname()} does not see /elsewhere/run/job.json" in done.stdout.decode()


def test_a_failed_start_names_the_missing_program(make_job: JobMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    job: Job = make_job("slurm", {"workers": 2, "launcher": "slurm"})
    with pytest.raises(LaunchError, match="launcher=slurm needs srun on PATH"):
        launch(job)

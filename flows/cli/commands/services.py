"""`folio up`, `open`, `down`, `doctor` and `env`: keep the services running, and look at the machine."""

from __future__ import annotations

import platform
import shlex
import shutil
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import psutil
import typer
from packaging.requirements import Requirement

from flows.cli.commands.arguments import StoreUrl
from flows.cli.running import close_dead_runs, drain_runs, refuse_while_live
from flows.services import servers
from flows.services.home import home, tracking_url, unwritable
from flows.services.processes import describe, listener, standing_workers, stop
from model.hardware.devices import DRIVER_FILES, bf16_products
from model.hardware.waiting import cores
from tasks.reporting.wording import size
from tasks.stage.execution.live_runs import closed_to_runs

app = typer.Typer()


@app.command()
def up() -> None:
    """Start folio's page, the Prefect server and the MLflow page on this machine, if they are not running."""
    for service in (servers.ensure_page(), servers.ensure_prefect(), servers.ensure_mlflow(tracking_url())):
        print(f"{service.name}: {service.page}")
    close_dead_runs()


@app.command("open")
def open_page(
    host: Annotated[str, typer.Option(help="serve on this address until Ctrl-C; one beyond this machine needs a key")] = "",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="serve on this port until Ctrl-C; 0: any that is free")] = None,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="file with the key that visitors sign in with; or set FOLIO_SERVE_KEY")
    ] = None,
    store: StoreUrl = "",
) -> None:
    """Open folio's page in a browser: runs, what they made, and how good it is.

    Without options it is the page that `folio up` starts, which goes on until `folio down`. It needs neither Prefect nor MLflow.

    Example: `folio open --host 0.0.0.0 --key-file key.txt`, to look from another machine
    """
    if host or port is not None or key_file is not None or store:
        from flows.page.app import serve_page

        def ready(address: str) -> None:
            print(f"folio page: {address}\nCtrl-C stops it", flush=True)

        serve_page(host or servers.HOST, servers.folio_page().port if port is None else port, key_file, store, ready)
        return
    service = servers.ensure_page()
    print(f"{service.name}: {service.page}", flush=True)
    # A machine without a screen has no browser; the address is printed in any case.
    webbrowser.open(service.page)


@app.command()
def down(
    drain: Annotated[bool, typer.Option("--drain", help="ask live runs to stop at a checkpoint, and wait for them")] = False,
) -> None:
    """Stop the servers that `folio up` or `folio run` started. Refuses while runs are live. Names what it leaves."""
    with closed_to_runs(home(), drain_runs if drain else refuse_while_live):
        left = list(left_behind(servers.prefect_server()))
        stopped = stop()
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    for line in left:
        print(line)


def left_behind(service: servers.Service) -> Iterator[str]:
    """Yield what waits for this home's Prefect server and outlives it: runs that are suspended, and workers."""
    with suppress(servers.ServiceError, OSError):  # it is another home's, or does not answer
        if servers.answers(service):
            servers.require_ours(service)
            for name, page in servers.suspended_runs(service):
                yield f"left suspended: {name}; it is kept, and waits for an answer at {page} once `folio up` has run"
    for pid, command in standing_workers(service.url).items():
        yield f"left standing: {command}, pid {pid}; it finds no server until `folio up`. To end it: kill {pid}"


@app.command()
def doctor() -> None:
    """Look at this machine: versions, ports, disk, memory, accelerators. Says what would stop or slow a run, and what to do."""
    findings = examine()
    print(report(findings))
    if any(finding.verdict == "fault" for finding in findings):
        raise typer.Exit(1)


@app.command()
def env() -> None:
    """Print the settings that let `prefect` and `mlflow` find this home. Use: eval "$(folio env)"."""
    for name, value in servers.settings().items():
        print(f"export {name}={shlex.quote(value)}")


LEAST_DISK, LEAST_MEMORY = 5 << 30, 4 << 30  # bytes that the default recipe has room in, with its servers
BUSY = 0.25  # share of the processors that others use while this looks
CLOCK_BEGINS = 1_700_000_000  # seconds since 1970; a clock before November 2023 was never set
Verdict = Literal["fine", "mind", "fault"]


class Finding(NamedTuple):
    """One thing that was looked at. `advice`: what to do, if it is not fine."""

    verdict: Verdict
    what: str
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Return what was found, in order: software, folders, servers, machine, accelerators."""
    return [*_software(), *_folders(), *_ports(), *_machine(), *_accelerators()]


def report(findings: list[Finding]) -> str:
    """Return the findings as lines of at most 80 columns, where the values are not longer."""
    marks = {"fine": "ok", "mind": "mind", "fault": "FAULT"}
    width = max(len(finding.what) for finding in findings)
    lines = []
    for verdict, what, found, advice in findings:
        lines.append(f"{marks[verdict]:5} {what:{width}}  {found}")
        lines += [f"{'':5} {'':{width}}  -> {advice}"] if advice else []
    faults = sum(finding.verdict == "fault" for finding in findings)
    lines += ["", f"{faults} of {len(findings)} would stop a run" if faults else f"nothing of {len(findings)} would stop a run"]
    return "\n".join(lines)


def _software() -> Iterator[Finding]:
    known = sys.version_info[:2] == (3, 11)
    yield Finding("fine" if known else "mind", "Python", platform.python_version(), "" if known else "folio is tested with 3.11")
    wrong = list(_unlike())
    advice = "install again: rm .venv/installed && make .venv/installed" if wrong else ""
    yield Finding("fault" if wrong else "fine", "packages", "; ".join(wrong[:5]) or "all that folio asks for", advice)
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), "")
    asked = "" if compiler else "nothing needs it but recipes with compile, DeepSpeed's offload and fused optimizers; apt-get install gcc"
    yield Finding("fine" if compiler else "mind", "C compiler", compiler or "none", asked)


def _unlike() -> Iterator[str]:
    """Yield what folio asks for and is missing or of another version."""
    for asked in map(Requirement, requires("folio") or ()):
        if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(asked.name)
        except PackageNotFoundError:
            yield f"{asked.name} is missing"
            continue
        if not asked.specifier.contains(found, prereleases=True):
            yield f"{asked.name} {found}, and {asked.specifier} is asked for"


def _folders() -> Iterator[Finding]:
    folder = home()
    why = unwritable(folder)
    advice = "make it writable, or set FOLIO_HOME to another folder" if why else ""
    yield Finding("fault" if why else "fine", "home", f"{folder} {why}".strip(), advice)
    standing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(standing).free
    low = free < LEAST_DISK
    yield Finding(
        "mind" if low else "fine", "disk", f"{size(free)} free", "folio gc --delete, or FOLIO_HOME on a larger disk" if low else ""
    )


def _ports() -> Iterator[Finding]:
    for service in (servers.folio_page(), servers.prefect_server(), servers.mlflow_page(tracking_url())):
        place, other = f"port {service.port}", f"stop that, or set {service.variable} to another port"
        if not servers.is_listening(service):
            yield Finding("fine", service.name, f"{place}: free")
            continue
        try:
            if servers.answers(service):
                servers.require_ours(service)
                yield Finding("fine", service.name, f"{place}: runs, for this home")
        except servers.ServiceError:
            yield Finding("fault", service.name, f"{place}: taken by {describe(listener(service.port))}", other)


def _machine() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    low = memory.available < LEAST_MEMORY
    advice = "end other programs, or --set resources.memory=1GB and a smaller recipe" if low else ""
    yield Finding("mind" if low else "fine", "memory", f"{size(memory.available)} of {size(memory.total)} free", advice)
    used = psutil.cpu_percent(interval=0.5) / 100
    told = f"{cores()}, others use {used:.0%} of them"
    yield Finding(
        "mind" if used > BUSY else "fine", "processors", told, "training will be slower than `folio init` says" if used > BUSY else ""
    )
    products = bf16_products()
    slow = "" if products else "`precision: auto` takes fp32, about half as fast as with bf16"
    yield Finding("fine", "bf16", products or f"none: {slow}")
    unset = time.time() < CLOCK_BEGINS
    clock = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    yield Finding("fault" if unset else "fine", "clock", clock, "set it: runs and records are dated by it" if unset else "")


def _accelerators() -> Iterator[Finding]:
    driver = any(file.exists() for file in DRIVER_FILES)
    # In a process of its own: a driver that is broken may end it.
    questions = "torch.cuda.is_available(), torch.cuda.device_count(), torch.distributed.is_nccl_available()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import torch; print({questions})"], capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding("fault", "accelerator", "PyTorch did not start within 120 s", "look at the driver: nvidia-smi or rocm-smi")
        return
    if done.returncode:
        yield Finding("fault", "PyTorch", (done.stderr.strip().splitlines() or ["it ended"])[-1][:200], "install torch again")
        return
    available, count, nccl = done.stdout.split()
    if available == "True":
        yield Finding("fine", "accelerator", f"{count} that PyTorch sees")
        lacking = int(count) > 1 and nccl != "True"
        yield Finding(
            "fault" if lacking else "fine", "NCCL", "there" if nccl == "True" else "none", "install a torch with NCCL" if lacking else ""
        )
    elif driver:
        advice = "install a torch for this driver: https://pytorch.org/get-started/locally"
        yield Finding("fault", "accelerator", "a driver is there, and this PyTorch sees no device", advice)
    else:
        yield Finding("fine", "accelerator", "none; all computes on the CPU")

"""The machine that a plan is for: named accelerators, or this machine's own CPU or accelerator."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from model.hardware.devices import DRIVER_FILES, device_of_driver, find_device
from model.hardware.waiting import cores

# Assumed MFU of training: on accelerators between PaLM's 46 % and Llama 3's 38 to 43 %; on CPUs what folio reached itself with the default
# micro-batch; a model's small products use less of a CPU that multiplies in bf16. A guess; a trial replaces it.
ASSUMED_ACCELERATOR, ASSUMED_PROCESSOR, ASSUMED_SMALL_NUMBERS = 0.40, 0.60, 0.25
QUICK_SIZE, QUICK_REPEATS = 1024, 6


@dataclass(frozen=True)
class Machine:
    """A number of `devices` of one kind, with the `memory` of one. On a CPU the devices are workers, which share its cores and memory."""

    name: str
    devices: int
    accelerator: bool
    memory: int
    peak: float
    peak_source: str
    utilization: float
    utilization_source: str

    @property
    def flops(self) -> float:
        """Operations of the model per second, all devices together."""
        return self.peak * self.utilization * (self.devices if self.accelerator else 1)


def machine_for(device: str, devices: int, precision: str) -> Machine:
    """Return the machine of that name: a listed accelerator, `cpu`, or `here` for this machine. Raise ValueError for other names.

    Without a data sheet, torch is loaded and a short matrix product timed.
    """
    if device not in ("here", "cpu"):
        known = find_device(device)
        return _accelerator(known.name, devices, known.memory, known.peak(precision), f"{known.source}, dense {precision}")
    import torch

    from model.hardware.peak import measured_peak
    from model.hardware.transfers import torch_threads

    if device == "here" and torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        listed = device_of_driver(found.name)
        if listed is not None:
            return _accelerator(found.name, devices, found.total_memory, listed.peak(precision), f"{listed.source}, dense {precision}")
        peak, size = measured_peak("cuda", 0, precision)
        return _accelerator(found.name, devices, found.total_memory, peak, f"{precision} products of {size} x {size}, measured now")
    with torch_threads(cores()):
        peak, size = measured_peak("cpu", 0, precision)
    return _processor(devices, precision, peak, size)


def glanced_machine(precision: str) -> Machine:
    """Return this machine as `machine_for("here", 1, precision)` does, without torch where there is no accelerator.

    A CPU alone is timed at fp32 products of numpy's, which loads much faster than torch; of torch's speed it showed 0.6 to 0.9 on a busy
    machine. Other precisions, and machines with an accelerator's driver, are measured by torch.
    """
    if precision != "fp32" or any(driver.exists() for driver in DRIVER_FILES):
        return machine_for("here", 1, precision)
    import numpy

    left, right = (numpy.ones((QUICK_SIZE, QUICK_SIZE), numpy.float32) for _ in range(2))
    spent = []
    for _ in range(QUICK_REPEATS):
        # Processor time of all threads: neither other work nor how many threads there are changes what one of them can do.
        before = time.process_time()
        numpy.matmul(left, right)
        spent.append(time.process_time() - before)
    return _processor(1, precision, 2 * QUICK_SIZE**3 / min(spent) * cores(), QUICK_SIZE)


def _processor(devices: int, precision: str, peak: float, size: int) -> Machine:
    return Machine(
        name=f"this CPU, {cores()} cores",
        devices=devices,
        accelerator=False,
        memory=psutil.virtual_memory().total // devices,
        peak=peak,
        peak_source=f"{precision} products of {size} x {size}, measured now",
        utilization=ASSUMED_PROCESSOR if precision == "fp32" else ASSUMED_SMALL_NUMBERS,
        utilization_source="assumed",
    )


def _accelerator(name: str, devices: int, memory: int, peak: float, source: str) -> Machine:
    return Machine(name, devices, True, memory, peak, source, ASSUMED_ACCELERATOR, "assumed")

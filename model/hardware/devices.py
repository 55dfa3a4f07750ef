"""Accelerators by name, with the figures of their data sheets; and the number types that this machine multiplies in.

Accelerators by name, with the figures of their makers' data sheets.
Peaks are of dense matrix products (no sparsity), in operations per second at boost clock; where a sheet gives only the figure with
sparsity, half of it is listed. Memory is the sheet's figure, taken as GiB. An unlisted card is refused by name, never guessed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GIB, TERA = 2**30, 1e12


@dataclass(frozen=True)
class Device:
    """A kind of accelerator. `peaks`: operations (multiplications and additions) per second of one chip, by precision."""

    name: str
    memory: int
    peaks: Mapping[str, float]
    source: str

    def peak(self, precision: str) -> float:
        """Return the peak operations per second at a precision; raise ValueError if the chip does not support it."""
        if precision not in self.peaks:
            raise ValueError(f"{self.name} does not support {precision} ({self.source}); it supports {', '.join(self.peaks)}")
        return self.peaks[precision]


def _device(name: str, memory: int, source: str, **peaks: float) -> Device:
    return Device(name, memory * GIB, {precision: value * TERA for precision, value in peaks.items()}, source)


DEVICES: Mapping[str, Device] = {
    device.name: device
    for device in (
        _device("v100", 32, "NVIDIA V100 data sheet, SXM2", fp32=15.7, fp16=125),
        _device("t4", 16, "NVIDIA T4 data sheet", fp32=8.1, fp16=65),
        _device("a100-40gb", 40, "NVIDIA A100 data sheet", fp32=19.5, tf32=156, bf16=312, fp16=312),
        _device("a100-80gb", 80, "NVIDIA A100 data sheet", fp32=19.5, tf32=156, bf16=312, fp16=312),
        _device("h100-pcie", 80, "NVIDIA H100 data sheet, PCIe", fp32=51, tf32=378, bf16=756, fp16=756, fp8=1513),
        _device("h100-sxm", 80, "NVIDIA H100 data sheet, SXM", fp32=67, tf32=494.5, bf16=989.5, fp16=989.5, fp8=1979),
        _device("h200-sxm", 141, "NVIDIA H200 data sheet, SXM", fp32=67, tf32=494.5, bf16=989.5, fp16=989.5, fp8=1979),
        _device("b200", 180, "NVIDIA HGX B200 data sheet, an eighth", fp32=75, tf32=1100, bf16=2250, fp16=2250, fp8=4500),
        _device("l4", 24, "NVIDIA L4 data sheet", fp32=30.3, tf32=60, bf16=121, fp16=121, fp8=242.5),
        _device("l40s", 48, "NVIDIA L40S data sheet", fp32=91.6, tf32=183, bf16=362, fp16=362, fp8=733),
        _device("rtx-3090", 24, "NVIDIA GA102 white paper, fp32 sums", fp32=35.6, tf32=35.6, bf16=71, fp16=71),
        _device("rtx-4090", 24, "NVIDIA Ada white paper, fp32 sums", fp32=82.6, tf32=82.6, bf16=165.2, fp16=165.2, fp8=330.3),
        _device("mi300x", 192, "AMD Instinct MI300X data sheet", fp32=163.4, tf32=653.7, bf16=1307.4, fp16=1307.4, fp8=2614.9),
    )
}
SHORT = {"h100": "h100-sxm", "h200": "h200-sxm", "a100": "a100-80gb", "4090": "rtx-4090", "3090": "rtx-3090"}
# Patterns of the names that drivers report; the first match counts.
DRIVERS = (
    (r"H100.*PCIe", "h100-pcie"),
    (r"H100.*(HBM3|SXM)", "h100-sxm"),
    (r"\bH200\b(?!.*NVL)", "h200-sxm"),
    (r"\bB200\b", "b200"),
    (r"A100.*80GB", "a100-80gb"),
    (r"A100.*40GB", "a100-40gb"),
    (r"V100.*32GB", "v100"),
    (r"\bT4\b", "t4"),
    (r"\bL40S\b", "l40s"),
    (r"\bL4\b", "l4"),
    (r"RTX 4090(?! D| Laptop)", "rtx-4090"),
    (r"RTX 3090(?! Ti)", "rtx-3090"),
    (r"MI300X", "mi300x"),
)


def find_device(name: str) -> Device:
    """Return the device of that name, in any case, with or without its maker; raise ValueError with the known names."""
    asked = name.strip().lower().replace("_", "-").replace(" ", "-").removeprefix("nvidia-").removeprefix("amd-")
    asked = SHORT.get(asked, asked)
    if asked in DEVICES:
        return DEVICES[asked]
    near = difflib.get_close_matches(asked, [*DEVICES, *SHORT], n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"device {name!r} is not known: {hint}use one of {', '.join(DEVICES)}, or cpu for this machine")


def device_of_driver(name: str) -> Device | None:
    """Return the device for a name that a driver reports, such as `NVIDIA H100 80GB HBM3`; None if it is not listed."""
    return next((DEVICES[key] for pattern, key in DRIVERS if re.search(pattern, name)), None)


# What Linux calls the instructions: of Intel and AMD, and of ARM.
INSTRUCTIONS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "bf16": "BF16"}
PROCESSORS = Path("/proc/cpuinfo")
STRICT = "MKL_CBWR"
DRIVER_FILES = (Path("/dev/nvidiactl"), Path("/dev/kfd"))


def bf16_products(processors: Path = PROCESSORS) -> str:
    """Return what multiplies in bf16 here: the accelerator, else instructions of the CPU; empty if nothing does.

    A CPU without such instructions computes in bf16, many times slower than in fp32.
    """
    if any(driver.exists() for driver in DRIVER_FILES):
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name() if torch.cuda.is_bf16_supported(including_emulation=False) else ""
    if not processors.exists():
        return ""
    lines = processors.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = {flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.partition(":")[2].split()}
    return next((f"the CPU's {name}" for flag, name in INSTRUCTIONS.items() if flag in flags), "")


def product_environment(processors: Path = PROCESSORS) -> dict[str, str]:
    """Return the variables by which products of fp32 matrices have the same bits whatever the number of threads.

    Intel's MKL otherwise splits sums by threads: those of few rows, and with AVX2 alone most. With its strict reproducibility a product
    of many rows takes as long, one of a single row up to twice as long. On other makers' processors MKL offers that on no fast path.
    """
    try:
        text = processors.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return {STRICT: "AUTO,STRICT"} if "GenuineIntel" in text and re.search(r"^flags\s*:.*\bavx2\b", text, re.M) else {}

"""Find the number types that this machine multiplies in, without loading torch on machines without accelerators."""

from __future__ import annotations

from pathlib import Path

# What Linux calls the instructions: of Intel and AMD, and of ARM.
INSTRUCTIONS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16", "bf16": "BF16"}
PROCESSORS = Path("/proc/cpuinfo")
DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/kfd"))


def bf16_products(processors: Path = PROCESSORS) -> str:
    """Return what multiplies in bf16 here: the accelerator, else instructions of the CPU; empty if nothing does.

    A CPU without such instructions computes in bf16, many times slower than in fp32.
    """
    if any(driver.exists() for driver in DRIVERS):
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name() if torch.cuda.is_bf16_supported(including_emulation=False) else ""
    if not processors.exists():
        return ""
    lines = processors.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = {flag for line in lines if line.lower().startswith(("flags", "features")) for flag in line.partition(":")[2].split()}
    return next((f"the CPU's {name}" for flag, name in INSTRUCTIONS.items() if flag in flags), "")

"""A machine that is the same wherever the tests run."""

from __future__ import annotations

from model.planning.machine import Machine

MACHINE_AT_HAND = Machine("a CPU", 1, False, 2**34, 2e11, "given", 0.3, "given")

"""How a network's weights are cut for tensor parallelism. Cheap to import (no torch)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class CutPlan:
    """Patterns of parameter names, matched from their beginning: cut along their outputs (dim 0), or along their inputs (dim 1).

    `summed`: whole on every worker, but each computes with its own part of the heads alone, so that gradients are parts, to be summed.
    A parameter that matches none is whole and has the same gradient on every worker.
    """

    outputs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    summed: tuple[str, ...] = ()

    def along(self, name: str) -> int | None:
        """Return the dimension along which the parameter of this name is cut; None if it stays whole."""
        for dim, patterns in enumerate((self.outputs, self.inputs)):
            if any(re.match(pattern, name) for pattern in patterns):
                return dim
        return None

"""Show `torch.compile` code without marks; mark each function once, while it is traced.

TorchDynamo reads the instructions of each function that it compiles or inlines, as if it ran them. A mark among them would break its graph,
so it is made at that moment and left out of the graph.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

from tasks.stage.identity.tracing.instrument import MARK
from tasks.stage.identity.tracing.patched_imports import PatchedImport

READER = "torch._dynamo.bytecode_transformation"
Mark = Callable[[str, int], None]


def dynamo_patch(mark: Mark) -> PatchedImport:
    """Return a finder that changes how TorchDynamo reads code. `mark`: takes a file and a number."""

    def patch(reader: ModuleType) -> None:
        original = reader.cleaned_instructions

        def cleaned_instructions(code: CodeType, *arguments: Any, **named: Any) -> Any:
            return _without_marks(code, original(code, *arguments, **named), mark)

        for name, module in list(sys.modules.items()):
            if name.startswith("torch._dynamo") and getattr(module, "cleaned_instructions", None) is original:
                module.cleaned_instructions = cleaned_instructions  # type: ignore[attr-defined]

    return PatchedImport(READER, patch)


def _without_marks(code: CodeType, instructions: list[Any], mark: Mark) -> list[Any]:
    for at, one in enumerate(instructions):
        if one.opname == "LOAD_GLOBAL" and one.argval == MARK:
            mark(code.co_filename, instructions[at + 1].argval)
            # LOAD_CONST 1, LOAD_GLOBAL, LOAD_CONST number, STORE_SUBSCR
            return [*instructions[: at - 1], *instructions[at + 3 :]]
    return instructions

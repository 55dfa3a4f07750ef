"""Let `torch.compile` see code without marks: what it takes in is marked while it traces, once.

TorchDynamo reads the instructions of each function that it compiles or inlines, as if it ran them. A mark among them would break its graph,
so it is made at that moment and left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import Any

from tasks.stage.identity.tracing.instrument import MARK

READER = "torch._dynamo.bytecode_transformation"
Mark = Callable[[str, int], None]


class DynamoPatch:
    """A finder for `sys.meta_path`, which changes how TorchDynamo reads code when that is imported. `mark`: takes a file and a number."""

    def __init__(self, mark: Mark) -> None:
        """Change it now if it is imported already."""
        self._mark = mark
        if READER in sys.modules:
            self._patch()

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the reader's own spec, with a loader that changes it afterwards; None for every other module."""
        if name != READER:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Patching(spec.loader, self._patch)
        return spec

    def _patch(self) -> None:
        original = sys.modules[READER].cleaned_instructions

        def cleaned_instructions(code: CodeType, *arguments: Any, **named: Any) -> Any:
            return self._without_marks(code, original(code, *arguments, **named))

        for name, module in list(sys.modules.items()):
            if name.startswith("torch._dynamo") and getattr(module, "cleaned_instructions", None) is original:
                module.cleaned_instructions = cleaned_instructions  # type: ignore[attr-defined]

    def _without_marks(self, code: CodeType, instructions: list[Any]) -> list[Any]:
        for at, one in enumerate(instructions):
            if one.opname == "LOAD_GLOBAL" and one.argval == MARK:
                self._mark(code.co_filename, instructions[at + 1].argval)
                # LOAD_CONST 1, LOAD_GLOBAL, LOAD_CONST number, STORE_SUBSCR
                return [*instructions[: at - 1], *instructions[at + 3 :]]
        return instructions


class _Patching(Loader):
    def __init__(self, loader: Any, patch: Callable[[], None]) -> None:
        self._loader, self._patch = loader, patch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._patch()

"""Changes to libraries in a recording process, each made as soon as the library's module is imported.

Pydantic: note which models with a tag are made, each when it is first made, and whether a value was refused. A union that a tag decides
between makes one of its members; which one, no name in the code says. However a model is made, by its name, from JSON, as a part of another
or by a copy, Python calls its class's `__new__`. A refused value makes no model, so nobody can say whose fields refused it.

TorchDynamo reads the instructions of each function that it compiles or inlines, as if it ran them. A mark among them would break its graph,
so it is made at that moment and left out of the graph.

Logging: note whether anything but a person can read what our code logs, since only then do the words of its messages count.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import Any

from tasks.stage.identity.tracing.instrument import MARK

ANY = "*"
# Where pydantic's errors come from: module -> class -> methods.
ENTRANCES = {
    "pydantic.main": ("BaseModel", ("__init__", "model_validate", "model_validate_json", "model_validate_strings")),
    "pydantic.root_model": ("RootModel", ("__init__",)),
    "pydantic.type_adapter": ("TypeAdapter", ("validate_python", "validate_json", "validate_strings")),
}
READER = "torch._dynamo.bytecode_transformation"
Mark = Callable[[str, int], None]
ERRORS = "FOLIO_STANDARD_ERROR"
OPEN_TO_ALL = "*"  # the value of ERRORS where who started the process shows its errors to people alone


class PatchedImport:
    """A finder for `sys.meta_path`: calls `patch` once a module is imported, at once if it is imported already."""

    def __init__(self, name: str, patch: Callable[[ModuleType], None]) -> None:
        """Wait for the module of this name."""
        self._name, self._patch = name, patch
        if name in sys.modules:
            patch(sys.modules[name])

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the module's own spec, with a loader that changes it afterwards; None for every other module."""
        if name != self._name:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Patching(spec.loader, self._patch)
        return spec


class _Patching(Loader):
    def __init__(self, loader: Any, patch: Callable[[ModuleType], None]) -> None:
        self._loader, self._patch = loader, patch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._patch(module)


def watch_models(module: str, namespace: dict[str, Any], tag: str, note: Callable[[str], None]) -> None:
    """Have the models of a module that have a tag call `note` with their name when they are first made."""
    for value in list(namespace.values()):
        if isinstance(value, type) and value.__module__ == module and "." not in value.__qualname__ and _is_tagged(value, tag):
            _watch(value, note)


def _is_tagged(owner: type, tag: str) -> bool:
    own = vars(owner)
    # As it stands there: whoever evaluates it reads the module, which counts as reading all its names.
    return "__pydantic_fields__" in own and "Literal" in str(own.get("__annotations__", {}).get(tag))


def _watch(owner: type, note: Callable[[str], None]) -> None:
    inherited: Any = owner.__new__
    made = False

    def __new__(cls: type, *arguments: Any, **named: Any) -> Any:
        nonlocal made
        if not made:
            made = True
            note(owner.__qualname__)
        return inherited(cls) if inherited is object.__new__ else inherited(cls, *arguments, **named)

    # Taken away again, it would leave Python's own slot for it changed.
    type.__setattr__(owner, "__new__", staticmethod(__new__))


def refusals(note: Callable[[], None]) -> list[PatchedImport]:
    """Return finders that have pydantic call `note` whenever it refuses a value."""
    return [PatchedImport(name, functools.partial(_tell_refusals, *entrance, note)) for name, entrance in ENTRANCES.items()]


def _tell_refusals(owner: str, methods: tuple[str, ...], note: Callable[[], None], module: ModuleType) -> None:
    for method in methods:
        setattr(getattr(module, owner), method, _telling(vars(getattr(module, owner))[method], note))


def _telling(method: Any, note: Callable[[], None]) -> Any:
    is_class_method = isinstance(method, classmethod)
    original = method.__func__ if is_class_method else method

    @functools.wraps(original)
    def telling(*arguments: Any, **named: Any) -> Any:
        try:
            return original(*arguments, **named)
        except ValueError:
            note()
            raise

    return classmethod(telling) if is_class_method else telling


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


def note_logs(note: Callable[[], None], is_ours: Callable[[str], bool], is_execution_module: Callable[[str], bool]) -> None:
    """Call `note` when something but standard error takes a message that our code logs, or when another program may read that."""
    here = _standard_error()
    shared = os.environ.setdefault(ERRORS, here) in (here, OPEN_TO_ALL)
    stream, factory, handle = sys.stderr, logging.getLogRecordFactory(), logging.Logger.handle

    def shows(handler: logging.Handler) -> bool:
        """Return whether a handler shows messages to people and does nothing else with them."""
        plain = type(handler) is logging.StreamHandler and handler.stream is stream
        return (plain or is_execution_module(type(handler).__module__)) and not handler.filters

    @functools.wraps(handle)
    def noting(self: logging.Logger, record: logging.LogRecord) -> None:
        plain = type(self) in (logging.Logger, logging.RootLogger) and logging.getLogRecordFactory() is factory
        heard = self.filters or not all(map(shows, _handlers(self))) or sys.stderr is not stream or not shared
        if is_ours(os.path.abspath(record.pathname)) and (heard or not plain):  # noqa: PTH100
            note()
        handle(self, record)

    logging.Logger.handle = noting  # type: ignore[method-assign]


def _handlers(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def _standard_error() -> str:
    try:
        found = os.fstat(2)
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"

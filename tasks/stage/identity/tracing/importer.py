"""Import the repository's modules from a snapshot, instrumented, and note which were asked for by name at run time.

It runs before Python's own finders. A module looks as usual (`__file__`, `__spec__`, loader, resources); only its builtins are copies in
which `getattr` and `hasattr` note the names asked for, and its class notes what is read of it as an object.
"""

from __future__ import annotations

import builtins
import dis
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from tasks.stage.identity.tracing.instrument import MARK, instrumented
from tasks.stage.identity.tracing.mark_file import MarkFile
from tasks.stage.identity.tracing.patched_imports import watch_models
from tasks.stage.identity.tracing.source import LIBRARY, Source

BOOTSTRAP = f"{LIBRARY}identity/tracing/bootstrap"
STATIC = frozenset({"IMPORT_NAME", "IMPORT_FROM", "IMPORT_STAR"})
FROZEN = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")
# These read a class's module to evaluate its annotations, whose names count already.
NAMESPACE_READERS = ("/torch/_dynamo/", "/pydantic/", "/typing.py", "/typing_extensions.py", "/dataclasses.py", "/pydantic_settings/")
PLAIN = frozenset({"__spec__", "__path__", "__name__", "__file__", "__loader__", "__package__", "__class__", "__builtins__", "__cached__"})


class Importer:
    """A finder for `sys.meta_path`."""

    def __init__(self, marks: MarkFile, source: Source, cache: Path | None) -> None:
        """Import from `source`, marking in `marks`; `cache`: folder for compiled code."""
        self.marks, self.source, self.cache = marks, source, cache
        self.builtins = builtins.__dict__ | {"getattr": self._getattr, "hasattr": self._hasattr}
        self.known: set[tuple[int, str]] = set()
        self._names: set[str] = set()
        self._modules: list[ModuleType] = []  # kept alive, so ids are not reused
        self._module_type = _recorded_type(self)
        self._paths: dict[str, str] = {}
        self._loaded: set[str] = set()
        self._namespaces: dict[str, dict[str, Any]] = {}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of a module of the repository; None for a library's, whose first name is noted."""
        before: list[str] = []
        for folder, place in self._places(path):
            if folder is None:
                tail = name.rpartition(".")[2]
                for found in (f"{place}/{tail}.py", f"{place}/{tail}/__init__.py") if self.source.is_unseen(place) else ():
                    self._require_seen(name, found, True)
                before.append(place)
                continue
            base = "/".join(part for part in (folder, name.rpartition(".")[2]) if part)
            for relative, package in ((f"{base}/__init__.py", True), (f"{base}.py", False)):
                if self.source.is_file(relative) and not (before and PathFinder.find_spec(name, before)):
                    if not self._is_static(sys._getframe(1)):
                        self.marks.log("root", name)
                    return self._spec(name, relative, package)
                self._require_seen(name, f"{self.source.root}/{relative}", not self.source.is_file(relative))
                if folder:
                    self.marks.log("unfound", relative)
        if path is None:
            self.marks.log("library", name)
        return None

    def _require_seen(self, name: str, file: str, unseen: bool) -> None:
        """Raise ImportError for a file that Python would import and no plan reads."""
        if unseen and os.path.isfile(file):  # noqa: PTH113
            raise ImportError(
                f"{file} can't be imported by a stage: no plan reads it, since .gitignore names it or it was added after the run began. "
                "Rename it or start the run again.",
                name=name,
            )

    def _places(self, path: Sequence[str] | None) -> Iterator[tuple[str | None, str]]:
        """Yield where a module may lie, in order: a folder of the repository, or None with a place elsewhere."""
        if path is None:
            yield "", ""
        for place in sys.path if path is None else path:
            relative = self.source.relative(os.path.abspath(place))  # noqa: PTH100
            if relative is None:
                yield None, place
            elif relative != BOOTSTRAP and (relative or path is not None):
                yield relative, place

    def _spec(self, name: str, relative: str, package: bool) -> ModuleSpec:
        filename = str(self.source.root / relative)
        spec = ModuleSpec(name, Loader(name, filename, self, relative), origin=filename, is_package=package)
        spec.has_location = True
        if package:
            spec.submodule_search_locations = [str(Path(filename).parent)]
        return spec

    def compile(self, relative: str) -> tuple[CodeType, list[str]]:
        """Return a module's instrumented code and its definitions."""
        try:
            return instrumented(self.source.text(relative) or b"", relative, str(self.source.root / relative), self.cache)
        except (SyntaxError, ValueError):
            self.marks.log("file", relative)
            raise

    def run(self, module: ModuleType, relative: str) -> None:
        """Execute a module with builtins of its own."""
        code, names = self.compile(relative)
        own, namespace = dict(self.builtins), module.__dict__
        namespace["__builtins__"] = own
        self._paths[module.__name__] = relative
        self._loaded.add(relative)
        self._namespaces[str(self.source.root / relative)] = own
        self.marks.module(module.__name__, relative, names, lambda region: own.__setitem__(MARK, region))
        module.__class__ = self._module_type
        self._modules.append(module)
        exec(code, namespace)
        watch_models(module.__name__, namespace, self.source.project.tag, lambda name: self.marks.log("made", relative, name))

    def mark(self, filename: str, number: int) -> None:
        """Mark a definition of a file that is imported."""
        region = self._namespaces[filename][MARK] if filename in self._namespaces else builtins.__dict__[MARK]
        region[number] = 1

    def note_classes(self) -> None:
        """Note what the classes of all imported modules inherit from libraries."""
        for name, path in list(self._paths.items()):
            module = sys.modules.get(name)
            if isinstance(module, ModuleType):  # a module may put something else in its place
                for value in list(ModuleType.__getattribute__(module, "__dict__").values()):
                    if isinstance(value, type) and value.__module__ == name:
                        self._note_class(path, value)

    def _note_class(self, path: str, owner: type) -> None:
        foreign = [base for base in owner.__mro__[1:] if base is not object and base.__module__ not in self._paths]
        if foreign:
            names = [f"{base.__module__}.{base.__qualname__}" for base in foreign]
            self.marks.log("derives", f"{path}:{owner.__qualname__}", names)
            for name, base in zip(names, foreign, strict=True):
                self.marks.log("interface", name, sorted(key for key in vars(base) if not key.startswith("__")))
                if type(base) is not type or "__init_subclass__" in vars(base):
                    self.marks.log("acting", name)
        for value in list(vars(owner).values()):
            if isinstance(value, type) and value.__module__ == owner.__module__ and value.__qualname__.startswith(f"{owner.__qualname__}."):
                self._note_class(path, value)

    def read(self, module: ModuleType, name: str, frame: FrameType) -> None:
        """Note that a name of a module was read as an attribute."""
        if frame.f_code.co_filename.startswith("<frozen importlib") or name in PLAIN or _operation(frame) == "IMPORT_FROM":
            return
        if name == "__dict__" and any(part in frame.f_code.co_filename for part in NAMESPACE_READERS):
            return
        if (path := self._paths.get(ModuleType.__getattribute__(module, "__name__"))) is not None:
            self.marks.log("read", path, name)
            self.known.add((id(module), name))

    def _getattr(self, owner: Any, name: str, *default: Any) -> Any:
        self._asked(owner, name)
        return getattr(owner, name, *default)

    def _hasattr(self, owner: Any, name: str) -> bool:
        self._asked(owner, name)
        return hasattr(owner, name)

    _getattr._torchdynamo_disable = _hasattr._torchdynamo_disable = True  # type: ignore[attr-defined]

    def _asked(self, owner: Any, name: object) -> None:
        if name not in self._names and not isinstance(owner, ModuleType) and isinstance(name, str):
            self.marks.log("attribute", name)
            self._names.add(name)

    def _is_static(self, frame: FrameType | None) -> bool:
        """Return whether a module is being imported by an import statement of counted code."""
        while frame is not None and frame.f_code.co_filename in FROZEN:
            frame = frame.f_back
        if frame is None or _operation(frame) not in STATIC:
            return False
        relative = self.source.relative(frame.f_code.co_filename)
        return relative in self._loaded and not self.source.project.is_execution(relative or "", frame.f_code.co_qualname)

    def whole(self, relative: str) -> CodeType:
        """Return the code of a file that can't be traced name by name; its whole text counts."""
        self.marks.log("file", relative)
        return compile(self.source.text(relative) or b"", str(self.source.root / relative), "exec", dont_inherit=True)

    def execute_file(self, loader: SourceFileLoader, module: ModuleType) -> bool:
        """Execute a module that another finder has found, if it is the repository's; return whether it is."""
        relative = self.source.relative(os.path.abspath(loader.path))  # noqa: PTH100
        if relative is None or not self.source.is_file(relative):
            return False
        self.marks.log("root", relative)
        self.run(module, relative)
        return True


class Loader(SourceFileLoader):
    """Loads one module of the repository from the snapshot."""

    def __init__(self, name: str, filename: str, importer: Importer, relative: str) -> None:
        """Load `relative` as `name`."""
        super().__init__(name, filename)
        self._importer, self._relative = importer, relative

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module. Its whole file counts if anything but Python's import asks, since that may give it another type."""
        if sys._getframe(1).f_code.co_filename not in FROZEN:
            self._importer.marks.log("file", self._relative)
        self._importer.run(module, self._relative)

    def get_code(self, fullname: str) -> CodeType:
        """Return the instrumented code, as `python -m` asks for it; what it defines marks itself in `__main__`."""
        if not _starts_program(sys._getframe(1)):
            return self._importer.whole(self._relative)
        code, names = self._importer.compile(self._relative)
        self._importer.marks.log("program", fullname, self._relative)
        self._importer._loaded.add(self._relative)
        self._importer.marks.module("__main__", self._relative, names, lambda region: setattr(builtins, MARK, region))
        return code

    def get_data(self, path: str) -> bytes:
        """Return a file's bytes, those of the snapshot where it has them."""
        relative = self._importer.source.relative(str(path))
        found = None if relative is None else self._importer.source.text(relative)
        if relative is None or found is None:
            return super().get_data(path)
        if relative != self._relative or not _shows_lines(sys._getframe(1)):
            self._importer.marks.log("file", relative)
        return found


def _recorded_type(importer: Importer) -> type[ModuleType]:
    known, read = importer.known, ModuleType.__getattribute__

    class RecordedModule(ModuleType):
        """A module that records which of its names are read, each once."""

        def __getattribute__(self, name: str) -> Any:
            if (id(self), name) not in known:
                importer.read(self, name, sys._getframe(1))
            return read(self, name)

    RecordedModule.__name__ = RecordedModule.__qualname__ = "module"
    RecordedModule.__module__ = "builtins"
    return RecordedModule


_operations: dict[tuple[CodeType, int], str] = {}


def _operation(frame: FrameType) -> str:
    key = (frame.f_code, frame.f_lasti)
    if key not in _operations:
        _operations[key] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
    return _operations[key]


def _starts_program(frame: FrameType | None) -> bool:
    """Return whether this process is being started by `python -m`."""
    while frame is not None and frame.f_code.co_filename == "<frozen runpy>":
        if frame.f_code.co_name == "_run_module_as_main":
            return True
        frame = frame.f_back
    return False


def _shows_lines(frame: FrameType | None) -> bool:
    """Return whether source is asked for by `linecache`, which shows it in messages or gives it to `inspect`."""
    while frame is not None and (frame.f_code.co_filename in FROZEN or not frame.f_code.co_filename.endswith("/linecache.py")):
        if frame.f_code.co_filename not in FROZEN:
            return False
        frame = frame.f_back
    return frame is not None


def execute_files_with(importer: Importer) -> None:
    """Let modules that are loaded by their file, such as by `spec_from_file_location`, be executed by the importer."""
    execute, compiled = SourceFileLoader.exec_module, SourceFileLoader.get_code

    def exec_module(self: SourceFileLoader, module: ModuleType) -> None:
        if isinstance(self, Loader) or not importer.execute_file(self, module):
            execute(self, module)

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        relative = importer.source.relative(os.path.abspath(self.path))  # noqa: PTH100
        ours = relative is not None and importer.source.is_file(relative)
        return importer.whole(relative or "") if ours else compiled(self, fullname)

    SourceFileLoader.exec_module, SourceFileLoader.get_code = exec_module, get_code  # type: ignore[method-assign,assignment]

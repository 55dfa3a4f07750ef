"""A source as modules: which file a name means, what importing it executes, and where a name in it leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.stage.identity.tracing.code.facts import Chain, FileFacts, Item
from tasks.stage.identity.tracing.code.reading import facts_of, module_name
from tasks.stage.identity.tracing.source import Source

MOST_STEPS = 30


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way from a name to what it means.

    `items`: statements of `path` that bind `name`, empty if none does. `rest`: attributes asked of it. With `library`, the full name of
    something outside the repository; with no name, the module itself.
    """

    path: str
    name: str = ""
    items: tuple[Item, ...] = ()
    rest: Chain = ()
    library: str = ""


class Modules:
    """The modules of one source."""

    def __init__(self, source: Source, cache: Path | None = None, elsewhere: Mapping[str, str] | None = None) -> None:
        """Read nothing yet. `cache`: folder of facts; `elsewhere`: modules that lie where their names don't say, with their paths."""
        self.source, self.cache, self.elsewhere = source, cache, elsewhere or {}
        self._facts: dict[str, FileFacts] = {}
        self._paths: dict[str, str | None] = {}
        self._bound: dict[str, dict[str, tuple[Item, ...]]] = {}
        self._stars: dict[str, tuple[str, ...]] = {}
        self._steps: dict[tuple[str, Chain], tuple[Step, ...]] = {}

    def facts(self, path: str) -> FileFacts:
        """Return the facts of a file; empty if it is gone."""
        if path not in self._facts:
            self._facts[path] = facts_of(self.source, path, self.cache) if self.source.is_file(path) else FileFacts()
        return self._facts[path]

    def path_of(self, module: str) -> str | None:
        """Return the file of a module, or None when the name is not the repository's."""
        if module not in self._paths:
            base = module.replace(".", "/")
            if self.source.is_file(other := self.elsewhere.get(module, "")):
                self._paths[module] = other
                return other
            found = (path for path in (f"{base}/__init__.py", f"{base}.py") if self.source.is_file(path))
            self._paths[module] = next(found, None) if base else None
        return self._paths[module]

    def looked_up(self) -> Iterator[str]:
        """Yield the names of all modules that were looked up, there or not."""
        yield from self._paths

    def is_ours(self, module: str) -> bool:
        """Return whether a name is a module or a folder of modules of the repository."""
        return self.path_of(module) is not None or bool(module and self.source.is_folder(module.replace(".", "/")))

    def is_missing(self, module: str) -> bool:
        """Return whether a module would lie in a package of the repository, and isn't there."""
        return self.is_ours(module.partition(".")[0]) and not self.is_ours(module)

    def executed(self, module: str, attribute: str = "") -> Iterator[str]:
        """Yield the files that an import executes, packages first."""
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            if path := self.path_of(".".join(parts[:end])):
                yield path
        if attribute and (path := self.path_of(f"{module}.{attribute}")):
            above = self.path_of(module)
            if above is None or not self.bound(above, attribute):
                yield path

    def bound(self, path: str, name: str) -> tuple[Item, ...]:
        """Return the statements of a module that bind a name."""
        if path not in self._bound:
            found: dict[str, list[Item]] = {}
            for item in self.facts(path).items:
                for bound in item.names:
                    found.setdefault(bound, []).append(item)
            self._bound[path] = {name: tuple(items) for name, items in found.items()}
        return self._bound[path].get(name, ())

    def stars(self, path: str) -> tuple[str, ...]:
        """Return the files whose names a module takes by star imports, the last first."""
        if path not in self._stars:
            modules = [module for item in self.bound(path, "*") for local, module, _ in item.imports if local == "*"]
            self._stars[path] = tuple(found for module in reversed(modules) if (found := self.path_of(module)))
        return self._stars[path]

    def follow(self, path: str, chain: Chain) -> tuple[Step, ...]:
        """Return the steps from a name of a module, with attributes, to all that it can mean."""
        if (path, chain) not in self._steps:
            self._steps[path, chain] = tuple(self._follow(path, chain, MOST_STEPS))
        return self._steps[path, chain]

    def follow_module(self, module: str, chain: Chain, left: int = MOST_STEPS) -> Iterator[Step]:
        """Yield the steps from a module, with attributes, to what it means."""
        path = self.path_of(module)
        if path is None and not self.is_ours(module):
            yield Step("", rest=chain, library=".".join([module, *chain]))
        elif path is not None and (not chain or self.bound(path, chain[0]) or not self.path_of(f"{module}.{chain[0]}")):
            if not chain:
                yield Step(path)
            elif left:
                yield from self._follow(path, chain, left - 1)
        elif chain and left:
            if path is not None:
                yield Step(path, chain[0])
            yield from self.follow_module(f"{module}.{chain[0]}", chain[1:], left - 1)

    def _follow(self, path: str, chain: Chain, left: int) -> Iterator[Step]:
        name, rest = chain[0], chain[1:]
        items = self.bound(path, name)
        yield Step(path, name, items, rest)
        for item in items:
            for local, module, attribute in item.imports:
                if local == name and left:
                    if (module, attribute) == (module_name(path), name):
                        yield from self.follow_module(f"{module}.{name}", rest, left - 1)
                    else:
                        yield from self.follow_module(module, (attribute, *rest) if attribute else rest, left - 1)
        if not items and left:
            for star in self.stars(path):
                yield Step(star, "__all__", self.bound(star, "__all__"))
                yield from self._follow(star, chain, left - 1)
            if path.endswith("/__init__.py") and self.path_of(f"{module_name(path)}.{name}"):
                yield from self.follow_module(f"{module_name(path)}.{name}", rest, left - 1)

"""A source as modules: which file a name means, what an import executes, and to which statement a name leads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.stage.identity.tracing.code.facts import Chain, FileFacts, Item
from tasks.stage.identity.tracing.code.reading import facts_of
from tasks.stage.identity.tracing.source import Source

MOST_STEPS = 30


class Modules:
    """The modules of one source."""

    def __init__(self, source: Source, cache: Path | None = None, elsewhere: Mapping[str, str] | None = None) -> None:
        """Read nothing yet. `cache`: folder of facts; `elsewhere`: modules that lie where their names don't say, with their paths."""
        self.source, self.cache, self.elsewhere = source, cache, elsewhere or {}
        self._facts: dict[str, FileFacts] = {}
        self._paths: dict[str, str | None] = {}
        self._bound: dict[str, dict[str, tuple[Item, ...]]] = {}

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

    def lead(self, path: str, chain: Chain, left: int = MOST_STEPS) -> Iterator[tuple[str, Item | None]]:
        """Yield (path, statement) of all that a name of a module can mean in the end; (full name, None) where that isn't ours."""
        items = self.bound(path, chain[0]) if left and chain else ()
        if not items:
            yield ".".join(chain), None
        for item in items:
            if item.kind not in ("import", "typing"):
                yield (path, item) if len(chain) == 1 else (".".join(chain), None)
                continue
            for module, attribute in ((module, attribute) for local, module, attribute in item.imports if local == chain[0]):
                yield from self._lead_from(module, (*([attribute] if attribute else []), *chain[1:]), left - 1)

    def _lead_from(self, module: str, chain: Chain, left: int) -> Iterator[tuple[str, Item | None]]:
        while chain and self.path_of(f"{module}.{chain[0]}") and not self.bound(self.path_of(module) or "", chain[0]):
            module, chain = f"{module}.{chain[0]}", chain[1:]
        if (path := self.path_of(module)) and chain:
            yield from self.lead(path, chain, left)
        else:
            yield ".".join([module, *chain]), None

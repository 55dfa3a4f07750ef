"""Find everything that counts: what ran, what that mentions, and what happened when modules were imported.

A name is followed to what it means. A definition that is only mentioned counts by its header; a class by its header, by the statements in
its body that shape it, and by those of its methods that something asks for by name. A statement of an imported module that may have an
effect counts always. Execution code is neither counted nor followed.
"""

from __future__ import annotations

from collections.abc import Iterable

from tasks.stage.identity.tracing.execution_code import FOLDERS, is_execution
from tasks.stage.identity.tracing.facts import Chain, Item, Piece, short_hash
from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.modules import Modules, Step
from tasks.stage.identity.tracing.purity import Purity
from tasks.stage.identity.tracing.syntax import module_name

READS_NAMES = frozenset({"globals", "locals", "eval", "exec"})
READS_TEXT = frozenset({"__doc__", "getdoc", "cleandoc", "model_json_schema", "json_schema", "description"})
READS_CODE = frozenset({"__code__", "getsource", "getsourcelines", "script", "cloudpickle", "dill", "co_consts", "co_code"})
READS_CLASSES = frozenset(
    {"__annotations__", "get_annotations", "get_type_hints", "__dict__", "getmembers", "getmembers_static", "dir", "vars"}
)
PLAIN_BASES = frozenset({"abc.ABC", "typing.Protocol", "typing.Generic"})
GONE = "gone"


class Closure:
    """What counts for marks, on a source. `counted`: entry -> its pieces; `facts`: entry -> value of what is no code."""

    def __init__(self, marks: Marks, modules: Modules, purity: Purity) -> None:
        """Follow everything from the marks."""
        self.marks, self.modules, self.purity = marks, modules, purity
        self.counted: dict[str, list[Piece]] = {}
        self.facts: dict[str, str] = {}
        self.libraries: set[str] = set()
        self.attributes = set(marks.attributes)
        self.words: set[str] = set()
        self.values: set[str] = set()
        self.renamed: dict[str, str] = {}
        self._loaded = frozenset(marks.modules)
        self._followed: set[tuple[str, int]] = set()
        self._mentioned: set[tuple[str, Chain]] = set()
        self._classes: dict[tuple[str, str], Item] = {}
        self._shaped: set[tuple[str, str]] = set()
        self.asked: set[str] = set()
        self.spoken: set[str] = set()
        self._functions: list[tuple[str, str, Item]] = []
        self._reached: dict[str, None] = {}
        self._effects: list[str] = []
        self._whole: set[str] = set()
        self._run()

    def _run(self) -> None:
        for name in self.marks.roots:
            if name.endswith(".py"):
                self._reach_file(name)
            else:
                self._reach(name)
        for path in self.marks.programs:
            self._reach_file(path)
            for item in self.modules.facts(path).items:
                if item.kind == "program":
                    self._count(f"statement {path}:__main__", path, item.piece)
                    self._imports(item.piece)
        for entered in self.marks.entered:
            path, _, qualname = entered.partition(":")
            if not is_execution(path, qualname):
                self.attributes.add(qualname.rpartition(".")[2])
                self._ran(path, qualname.split("."))
        for read in self.marks.reads:
            path, _, name = read.partition(":")
            self._read(path, name)
        for named in self.marks.named:
            module, _, name = named.partition(":")
            if found := self.modules.path_of(module):
                self._read(found, name.partition(".")[0])
        size = -1
        while size != (size := self._size()):
            self.spoken = {name.lstrip(".") for name in self.values}
            self.spoken |= {attribute for name, attribute in self.renamed.items() if name in self.spoken}
            self.asked = self.attributes | {chain[0] for _, chain in self._mentioned if len(chain) == 1 or chain[0] != "__doc__"}
            if "__subclasses__" in self.asked:
                self._subclasses()
            for (path, qualname), item in list(self._classes.items()):
                self._members(path, qualname, item)
            for entry, path, item in list(self._functions):
                if item.notes is not None and item.names[0] in self.spoken:
                    self._count(entry, path, item.notes)
                if item.body is not None and not self.asked.isdisjoint(READS_CODE):
                    self._count(entry, path, item.body)
        if len(self._effects) > 1:
            self.facts["order "] = short_hash("\n".join(self._effects))
        self._orders()

    def _size(self) -> int:
        names = len(self.attributes) + len(self.words) + len(self.values)
        return len(self.counted) + len(self._classes) + len(self._reached) + names

    def _subclasses(self) -> None:
        """Count all classes of imported modules that inherit, since one asks a class for its subclasses."""
        found = []
        for path in self._reached:
            for item in self.modules.facts(path).items:
                if item.kind == "class" and item.bases and not is_execution(path, item.names[0]):
                    self._class(path, item.names[0], item)
                    found.append(f"{path}:{item.names[0]}")
        self.facts["order of subclasses"] = short_hash("\n".join(found))

    def _read(self, path: str, name: str) -> None:
        if is_execution(path, name):
            return
        if name == "__dict__":
            self._all_names(path)
        else:
            self._mention(path, (name,))

    def _ran(self, path: str, names: list[str]) -> None:
        items, prefix = self.modules.bound(path, names[0]), names[0]
        for name in names[1:]:
            for item in items:
                if item.kind == "class":
                    self._class(path, prefix, item)
            items = tuple(m for item in items for m in (item.members if item.kind == "class" else ()) if name in m.names)
            prefix = f"{prefix}.{name}"
        found = False
        for item in items:
            found = True
            if item.kind == "def":
                self._functions.append((f"ran {path}:{prefix}", path, item))
                self._count(f"ran {path}:{prefix}", path, item.piece)
                if item.body is not None:
                    self._count(f"ran {path}:{prefix}", path, item.body)
            elif item.kind == "class":
                self._class(path, prefix, item)
            else:
                self._count(f"statement {path}:{prefix}", path, item.piece)
        if not found and not self._in_compound(path, names):
            self.facts[f"ran {path}:{prefix}"] = GONE

    def _in_compound(self, path: str, names: list[str]) -> bool:
        """Count the compound statement that defines a class or a function whose parts have no statement of their own."""
        items = [item for item in self.modules.bound(path, names[0]) if item.kind not in ("def", "class", "import")]
        for item in items:
            self._count(f"statement {path}:{names[0]}", path, item.piece)
        return bool(items)

    def _count(self, entry: str, path: str, piece: Piece) -> None:
        pieces = self.counted.setdefault(entry, [])
        if not any(piece is other for other in pieces):
            pieces.append(piece)
        if (path, id(piece)) in self._followed:
            return
        self._followed.add((path, id(piece)))
        self.attributes.update(piece.attributes)
        self.words.update(piece.words)
        self.values.update(piece.values)
        for chain in piece.names:
            self._mention(path, chain)
        for module, *rest in piece.far:
            if module in self._loaded or not self.modules.is_ours(module):
                self._steps(self.modules.follow_module(module, tuple(rest)))
        if not READS_NAMES.isdisjoint(chain[0] for chain in piece.names):
            self._all_names(path)
        self._imports(piece)

    def _imports(self, piece: Piece) -> None:
        for module, *attribute in piece.imports:
            if module in self._loaded:
                self._reach(module)
            if attribute and f"{module}.{attribute[0]}" in self._loaded:
                self._reach(f"{module}.{attribute[0]}")

    def _mention(self, path: str, chain: Chain) -> None:
        if (path, chain) not in self._mentioned:
            self._mentioned.add((path, chain))
            facts = self.modules.facts(path)
            if chain[0] == "__doc__":
                self.facts[f"mentioned {path}:__doc__"] = facts.documentation
            elif chain[0] == "__annotations__":
                described = [item.piece.described for item in facts.items if item.kind == "bind"]
                self.facts[f"mentioned {path}:__annotations__"] = short_hash("\n".join(described))
            self._steps(self.modules.follow(path, chain))

    def _steps(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if step.library:
                self.libraries.add(step.library.partition(".")[0])
                self.attributes.update(step.rest)
            elif step.name and not is_execution(step.path, step.name):
                self.attributes.update(step.rest)
                for item in step.items:
                    self._item(step.path, step.name, item)

    def _item(self, path: str, name: str, item: Item) -> None:
        if item.kind == "def":
            self._functions.append((f"mentioned {path}:{name}", path, item))
            self._count(f"mentioned {path}:{name}", path, item.piece)
        elif item.kind == "class":
            self._class(path, name, item)
        elif item.kind in ("import", "typing"):
            self._import(path, name, item)
        elif item.kind != "program" or path in self.marks.programs:
            self._count(f"statement {path}:{name}", path, item.piece)

    def _import(self, path: str, name: str, item: Item) -> None:
        targets = [(module, attribute) for local, module, attribute in item.imports if local == name]
        for module, attribute in targets:
            target = self.modules.path_of(module)
            if target is None or not is_execution(target, attribute):
                self.renamed[name] = attribute
                before = self.facts.get(f"import {path}:{name}", "")
                meaning = f"{module}.{attribute}".rstrip(".")
                if meaning not in before.split():
                    self.facts[f"import {path}:{name}"] = f"{before} {meaning}".strip()

    def _class(self, path: str, qualname: str, item: Item) -> None:
        known = (path, qualname)
        if known in self._classes and self._classes[known] is item:
            return
        self._classes[known] = item
        self._count(f"mentioned {path}:{qualname}", path, item.piece)
        plain = self.is_plain(path, item)
        if not plain:
            self._shaped.add((path, qualname))
        for member in item.members:
            if member.kind == "class":
                self._class(path, f"{qualname}.{member.names[0]}", member)
            elif member.kind == "def":
                if member.registered:
                    self._count(f"mentioned {path}:{qualname}", path, member.piece)
            elif not plain or member.kind != "bind" or (member.needs and not self.purity.is_pure(path, member)):
                self._count(f"mentioned {path}:{qualname}", path, member.piece)
        self._members(path, qualname, item)

    def _members(self, path: str, qualname: str, item: Item) -> None:
        asked = frozenset[str]() if self.is_own(path, item) else self.marks.inherited(path, qualname)
        if item.registered and ("Protocol",) in item.bases:
            asked = None
        if (path, qualname) not in self._shaped and not self.asked.isdisjoint(READS_CLASSES):
            self._shaped.add((path, qualname))
            for member in item.members:
                if member.kind == "bind":
                    self._count(f"mentioned {path}:{qualname}", path, member.piece)
        for member in item.members:
            for name in member.names:
                if is_execution(path, f"{qualname}.{name}"):
                    continue
                wanted = name in self.attributes or name in self.words or (name.startswith("__") and name.endswith("__"))
                if wanted or asked is None or name in asked:
                    if member.kind == "def":
                        self._functions.append((f"mentioned {path}:{qualname}.{name}", path, member))
                        self._count(f"mentioned {path}:{qualname}.{name}", path, member.piece)
                    elif member.kind == "bind":
                        self._count(f"statement {path}:{qualname}.{name}", path, member.piece)

    def is_own(self, path: str, item: Item) -> bool:
        """Return whether a class inherits from nothing but our own classes and `object`."""
        steps = [step for base in item.bases if base for step in self.modules.follow(path, base)]
        if not all(item.bases) or any(step.library not in ("", *PLAIN_BASES) for step in steps):
            return False
        return all(
            inner.kind in ("import", "typing") or self.is_own(s.path, inner) for s in steps for inner in s.items if inner is not item
        )

    def is_plain(self, path: str, item: Item) -> bool:
        """Return whether nothing but attribute access reads the statements of a class."""
        if item.registered or item.keywords:
            return False
        for base in item.bases:
            for step in self.modules.follow(path, base) if base else ():
                if step.library and step.library not in PLAIN_BASES:
                    return False
                if any(inner.kind == "bind" or (inner.kind == "class" and not self.is_plain(step.path, inner)) for inner in step.items):
                    return False
        return all(item.bases)

    def _all_names(self, path: str) -> None:
        if path not in self._whole:
            self._whole.add(path)
            for item in self.modules.facts(path).items:
                for name in item.names:
                    self._mention(path, (name,))

    def _reach(self, module: str) -> None:
        for path in self.modules.executed(module):
            self._reach_file(path)

    def _reach_file(self, path: str) -> None:
        """Count what importing a file does, in the order in which it is done."""
        if path in self._reached:
            return
        self._reached[path] = None
        facts = self.modules.facts(path)
        if facts.broken:
            self.facts[f"module {path}"] = facts.broken
        for name in ("__getattr__", "__dir__"):
            if not is_execution(path):
                self._mention(path, (name,))
        for above in self.modules.executed(module_name(path).rpartition(".")[0]):
            self._reach_file(above)
        for number, item in enumerate(self.modules.facts(path).items):
            if item.kind in ("typing", "program"):
                continue
            if path.startswith(FOLDERS):
                break
            for piece in (item.piece, *(member.piece for member in item.members if item.kind == "class")):
                for module, *attribute in piece.imports:
                    for executed in self.modules.executed(module, *attribute):
                        self._reach_file(executed)
            if item.kind != "import" and not is_execution(path) and not self.purity.is_pure(path, item):
                self._effect(path, item, number)

    def _effect(self, path: str, item: Item, number: int) -> None:
        label = ",".join(item.names) or item.piece.plain
        self._effects.append(f"{path}:{label}")
        self.facts[f"effect {path}:{label}"] = ""
        if item.names:
            for name in item.names:
                if not is_execution(path, name):
                    self._item(path, name, item)
        else:
            self._count(f"statement {path}:", path, item.piece)

    def _orders(self) -> None:
        """Count the order of a module's statements where it can matter: some have an effect, or bind a name again."""
        for path in sorted(self._reached):
            items = self.modules.facts(path).items
            order: list[str] = []
            matters = False
            for item in items:
                if item.kind in ("import", "typing", "program") or is_execution(path):
                    continue
                effect = not self.purity.is_pure(path, item)
                names = [name for name in item.names if self._counts(path, name)]
                again = any(len(self.modules.bound(path, name)) > 1 for name in names)
                matters |= effect or again
                if effect or again or (names and item.kind == "bind"):
                    order.append(",".join(names) or item.piece.plain)
            if matters and len(order) > 1:
                self.facts[f"order {path}"] = short_hash("\n".join(order))

    def _counts(self, path: str, name: str) -> bool:
        return any(f"{kind} {path}:{name}" in self.counted for kind in ("ran", "mentioned", "statement"))

    def entries(self) -> dict[str, str]:
        """Return entry -> hash of all code that counts."""
        described = not READS_TEXT.isdisjoint(self.asked)
        ran = {entry.partition(" ")[2] for entry in self.counted if entry.startswith("ran ")}
        found = dict(self.facts)
        for entry, pieces in self.counted.items():
            kind, _, rest = entry.partition(" ")
            if kind == "mentioned" and rest in ran:
                continue
            hashes = [piece.described if described else piece.plain for piece in pieces]
            if kind != "mentioned":
                hashes.sort()  # their order counts by an entry of its own
            found[entry] = hashes[0] if len(hashes) == 1 else short_hash("\n".join(hashes))
        return found

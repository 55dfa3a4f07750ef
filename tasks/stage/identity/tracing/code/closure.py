"""Find everything that counts: what ran, what that mentions, and what happened when modules were imported.

A name is followed to what it means. A definition that is only mentioned counts by its header, a class as `classes` says. A statement of an
imported module that may have an effect counts always. Execution code is neither counted nor followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tasks.stage.identity.tracing.changes import GONE
from tasks.stage.identity.tracing.code.classes import ClassRules
from tasks.stage.identity.tracing.code.facts import Chain, Item, Piece, short_hash
from tasks.stage.identity.tracing.code.importing import Importing
from tasks.stage.identity.tracing.code.kinds import Kinds
from tasks.stage.identity.tracing.code.modules import Modules, Step
from tasks.stage.identity.tracing.code.purity import Purity
from tasks.stage.identity.tracing.code.reading import module_name
from tasks.stage.identity.tracing.execution_code import is_execution
from tasks.stage.identity.tracing.marks import Marks

READS_NAMES = frozenset({"globals", "locals", "eval", "exec"})
READS_TEXT = frozenset({"__doc__", "getdoc", "cleandoc", "model_json_schema", "json_schema", "description"})
READS_TEXT |= {"pydoc", "help", "doctest", "get_json_schema"}
# By these, code can come to the words of log messages.
READS_TEXT |= {"addHandler", "Handler", "getMessage", "LogRecord", "addFilter", "setLogRecordFactory", "setLoggerClass"}
READS_TEXT |= {"dictConfig", "fileConfig", "basicConfig"}
STREAMS = frozenset({"stderr", "redirect_stderr"})
READS_CODE = frozenset({"__code__", "getsource", "getsourcelines", "script", "cloudpickle", "dill", "co_consts", "co_code"})
READS_TYPES = frozenset({"__annotations__", "get_annotations", "get_type_hints"})
# By these, code can come to members of a union that it never makes, or be told of them.
READS_UNIONS = READS_TYPES | {
    *("get_args", "get_origin", "__args__", "__metadata__", "annotation", "rebuild_annotation", "model_fields", "__pydantic_fields__"),
    *("model_json_schema", "json_schema", "__pydantic_core_schema__", "core_schema", "__get_pydantic_core_schema__", "TypeAdapter"),
    *("__get_pydantic_json_schema__", "__pydantic_validator__", "WrapValidator", "wrap"),
}
# These refuse values where nobody notes it.
UNWATCHED = ("pydantic.dataclasses", "pydantic.validate_call", "pydantic.v1", "pydantic_core.", "pydantic_settings")
READS_CLASSES = READS_TYPES | {"__dict__", "getmembers", "getmembers_static", "dir", "vars"}
# Methods without underscores that Python's own C code calls.
PROTOCOLS = frozenset({"keys", "read", "readline", "readinto", "write", "flush", "fileno", "close", "send", "throw", "mro"})
PRIVATE = re.compile(r"_\w+?(__\w+)$")
WORD = re.compile(rb"[A-Za-z_]\w+")


class Closure:
    """What counts for marks, on a source. `counted`: entry -> its pieces; `facts`: entry -> value of anything that isn't code."""

    def __init__(self, marks: Marks, modules: Modules, purity: Purity) -> None:
        """Follow everything from the marks."""
        self.marks, self.modules = marks, modules
        self.importing, self.rules = Importing(modules, purity), ClassRules(marks, modules, purity)
        self.kinds = Kinds(marks, modules)
        self.counted: dict[str, list[Piece]] = {}
        self.facts: dict[str, str] = {}
        self.libraries: set[str] = set()
        self._attributes = set(marks.attributes) | PROTOCOLS | self._words_of_templates()
        self._values: set[str] = set()
        self._asked = frozenset[str]()
        self._renamed: dict[str, str] = {}
        self._followed: set[tuple[str, int]] = set()
        self._mentioned: set[tuple[str, Chain]] = set()
        self._typed: set[tuple[str, Chain]] = set()
        self._choices: dict[tuple[str, str], Item] = {}
        self._classes: dict[tuple[str, str], Item] = {}
        self._functions: dict[tuple[str, int], tuple[str, str, Item]] = {}
        self._whole: set[str] = set()
        self._counted_effects = 0
        self._mixed: dict[tuple[str, str], frozenset[str]] = {}
        self._submodules: set[tuple[str, str]] = set()
        self._size = -1
        self._start()
        while self._grew():
            self._again()
        self._finish()

    def _start(self) -> None:
        for root in self.marks.roots:
            (self.importing.file if root.endswith(".py") else self.importing.module)(root)
        for path in self.marks.programs:
            self.importing.file(path)
            for item in self.modules.facts(path).items:
                if item.kind == "program":
                    self._count(f"statement {path}:__main__", path, item.piece)
        for entered in self.marks.entered:
            path, _, qualname = entered.partition(":")
            if not is_execution(path, qualname):
                self._attributes.add(qualname.rpartition(".")[2])
                self._ran(path, qualname.split("."))
        reads = [(path, name) for path, _, name in (one.partition(":") for one in self.marks.reads)]
        named = [(self.modules.path_of(module), name) for module, _, name in (one.partition(":") for one in self.marks.named)]
        for where, name in [*reads, *named]:
            if where is not None and not is_execution(where, name):
                self._all_names(where) if name == "__dict__" else self._mention(where, (name.partition(".")[0],))

    def _grew(self) -> bool:
        """Return whether anything counts that has not been looked at."""
        sets = (self.counted, self._classes, self._choices, self.importing.reached, self._attributes, self._values)
        size = sum(len(one) for one in sets) + sum(map(len, self._mixed.values()))
        grew, self._size = size != self._size, size
        return grew

    def _again(self) -> None:
        """Look again at what depends on all that is asked for."""
        private = {found[1] for name in self._attributes if (found := PRIVATE.match(name))}
        named = {chain[0] for _, chain in (*self._mentioned, *self._typed) if chain != ("__doc__",)}
        self._asked = frozenset(self._attributes | private | named)
        if not self._asked.isdisjoint(READS_UNIONS):
            for (path, name), item in list(self._choices.items()):
                self._item(path, name, item)
        spoken = {name.lstrip(".") for name in self._values}
        spoken |= {attribute for name, attribute in self._renamed.items() if name in spoken}
        for path, item in self.importing.effects[self._counted_effects :]:
            self._counted_effects += 1
            for name in item.names:
                self._item(path, name, item)
            if not item.names:
                self._count(f"statement {path}:", path, item.piece)
        for path in list(self.importing.reached):
            if not is_execution(path):
                self._mention(path, ("__getattr__",))
                self._mention(path, ("__dir__",))
        if "__subclasses__" in self._asked:
            for path, item in list(self.importing.subclasses()):
                self._class(path, item.names[0], item)
        for (path, qualname), item in list(self._classes.items()):
            self._members(path, qualname, item)
        reads_code = not self._asked.isdisjoint(READS_CODE)
        for entry, path, item in list(self._functions.values()):
            if item.notes is not None and item.names[0] in spoken:
                self._count(entry, path, item.notes)
                self._future(path)
            if item.body is not None and reads_code:
                self._count(entry, path, item.body)

    def _finish(self) -> None:
        labels = self.importing.labels()
        self.facts |= {f"effect {path}:{name}": "" for path, item in self.importing.effects for name in item.names}
        if len(labels) > 1:
            self.facts["order "] = short_hash("\n".join(labels))
        if "__subclasses__" in self._asked:
            self.facts["order subclasses"] = short_hash("\n".join(f"{path}:{item.names[0]}" for path, item in self.importing.subclasses()))
        for path, name in self._submodules:
            inner = self.modules.path_of(f"{module_name(path)}.{name}") if path.endswith("/__init__.py") else None
            if inner in self.importing.reached:
                self.facts[f"import {path}:{name}"] = inner or ""
        self.facts |= {f"order {path}": order for path, order in self.importing.orders(self._counts)}
        self.facts |= {f"module {module}": "missing" for module in self.importing.missing}
        self.facts |= {f"module {path}": broken for path in self.importing.reached if (broken := self.modules.facts(path).broken)}

    def _words_of_templates(self) -> set[str]:
        """Return every word of the Jinja templates that were read: a template may read any of them as an attribute."""
        paths = {one.partition(":")[0] for one in self.marks.files}
        texts = (self.modules.source.text(path) or b"" for path in paths if not path.endswith(".py"))
        return {word.decode() for text in texts if b"{{" in text or b"{%" in text for word in WORD.findall(text)}

    def _ran(self, path: str, names: list[str]) -> None:
        items, prefix = self.modules.bound(path, names[0]), names[0]
        compound = [item for item in items if item.kind not in ("def", "class", "import")]
        for name in names[1:]:
            classes = [item for item in items if item.kind == "class"]
            for item in classes:
                self._class(path, prefix, item)
            items = tuple(member for item in classes for member in item.members if name in member.names)
            prefix = f"{prefix}.{name}"
        for item in items:
            if item.kind == "def":
                self._function(f"ran {path}:{prefix}", path, item)
                if item.body is not None:
                    self._count(f"ran {path}:{prefix}", path, item.body)
            elif item.kind == "class":
                self._class(path, prefix, item)
            else:
                self._count(f"statement {path}:{prefix}", path, item.piece)
        for item in compound:  # it contains definitions, which have items of their own
            self._count(f"statement {path}:{names[0]}", path, item.piece)
        if not items and not compound:
            self.facts[f"ran {path}:{prefix}"] = GONE

    def _count(self, entry: str, path: str, piece: Piece) -> None:
        pieces = self.counted.setdefault(entry, [])
        if not any(piece is other for other in pieces):
            pieces.append(piece)
        if (path, id(piece)) in self._followed:
            return
        self._followed.add((path, id(piece)))
        self._attributes.update(piece.attributes, piece.words)
        self._values.update(piece.values)
        for chain in piece.names:
            self._mention(path, chain)
        for chain in piece.types:
            self._mention_type(path, chain)
        for module, *rest in piece.far:
            if module in self.marks.modules or not self.modules.is_ours(module):
                self._steps(self.modules.follow_module(module, tuple(rest)))
        if not READS_NAMES.isdisjoint(chain[0] for chain in piece.names):
            self._all_names(path)
        for module, *attribute in piece.imports:
            for name in (module, f"{module}.{attribute[0]}" if attribute else module):
                if name in self.marks.modules:
                    self.importing.module(name)

    def _mention(self, path: str, chain: Chain) -> None:
        if (path, chain) in self._mentioned:
            return
        self._mentioned.add((path, chain))
        facts = self.modules.facts(path)
        if chain[0] == "__doc__":
            self.facts[f"mentioned {path}:__doc__"] = facts.documentation
        elif chain[0] == "__annotations__":
            described = [item.piece.described for item in facts.items if item.kind in ("bind", "typing")]
            self.facts[f"mentioned {path}:__annotations__"] = short_hash("\n".join(described))
        self._steps(self.modules.follow(path, chain))

    def _mention_type(self, path: str, chain: Chain) -> None:
        if (path, chain) not in self._typed:
            self._typed.add((path, chain))
            self._steps(self.modules.follow(path, chain), as_type=True)

    def _steps(self, steps: Iterable[Step], *, as_type: bool = False) -> None:
        for step in steps:
            if step.library:
                self.libraries.add(step.library.partition(".")[0])
                if step.library.startswith(UNWATCHED):
                    self._attributes.add("__pydantic_validator__")
            if step.name and is_execution(step.path, step.name):
                continue
            self._attributes.update(step.rest)
            for item in step.items:
                if as_type and item.choice is not None and item.choice.frame is not None:
                    self._choose(step.path, step.name, item)
                else:
                    self._item(step.path, step.name, item)
            if step.name and not step.items:
                self._attributes.add(step.name)  # a module may answer by other means
                self._submodules.add((step.path, step.name))

    def _item(self, path: str, name: str, item: Item) -> None:
        if is_execution(path, name):
            return
        if item.kind == "def":
            self._function(f"mentioned {path}:{name}", path, item)
        elif item.kind == "class":
            self._class(path, name, item)
        elif item.kind in ("import", "typing"):
            self._import(path, name, name, item)
        elif item.kind != "program" or path in self.marks.programs:
            self._count(f"statement {path}:{name}", path, item.piece)

    def _choose(self, path: str, name: str, item: Item) -> None:
        """Count what matters of a union that is a field's type: how it chooses, and the members that it can choose."""
        if (path, name) not in self._choices and item.choice is not None and item.choice.frame is not None:
            self._choices[path, name] = item
            self._count(f"choice {path}:{name}", path, item.choice.frame)
            labels = []
            for where, chain, steps in self.kinds.counted(path, item.choice):
                labels.append(f"{where}:{'.'.join(chain)} {steps[-1].path}:{steps[-1].name}")
                self._mention(where, chain)
            self.facts[f"kinds {path}:{name}"] = short_hash("\n".join(labels))

    def _function(self, entry: str, path: str, item: Item) -> None:
        self._functions[entry, id(item)] = (entry, path, item)
        self._count(entry, path, item.piece)

    def _import(self, path: str, name: str, bound: str, item: Item) -> None:
        for local, module, attribute in item.imports:
            target = self.modules.path_of(module)
            if local == bound and (target is None or not is_execution(target, attribute)):
                self._renamed[bound] = attribute
                before = self.facts.get(f"import {path}:{name}", "").split()
                self.facts[f"import {path}:{name}"] = " ".join(dict.fromkeys([*before, f"{module}.{attribute}".rstrip(".")]))

    def _class(self, path: str, qualname: str, item: Item) -> None:
        if self._classes.get((path, qualname)) is not item:
            self._classes[path, qualname] = item
            entry = f"mentioned {path}:{qualname}"
            self._count(entry, path, item.piece)
            for member in self.rules.shaping(path, item, whole=False):
                self._count(entry, path, member.piece)
            for member in item.members:
                if member.kind == "class":
                    self._class(path, f"{qualname}.{member.names[0]}", member)

    def _members(self, path: str, qualname: str, item: Item) -> None:
        shaping = {id(member) for member in self.rules.shaping(path, item, whole=False)}
        if not self._asked.isdisjoint(READS_CLASSES):
            for member in self.rules.shaping(path, item, whole=True):
                self._count(f"mentioned {path}:{qualname}", path, member.piece)
            self._future(path)
        inherited = self.rules.inherited(path, qualname, item) | self._mixed.get((path, qualname), frozenset())
        for base in filter(None, item.bases if inherited else ()):
            for step in self.modules.follow(path, base):  # a library finds what our own bases have, too
                self._mixed[step.path, step.name] = self._mixed.get((step.path, step.name), frozenset()) | inherited
        for name, member in self.rules.asked_for(path, qualname, item, self._asked | inherited):
            if member.kind == "import":
                self._import(path, f"{qualname}.{name}", name, member)
                self._steps(step for _, module, attribute in member.imports for step in self.modules.follow_module(module, (attribute,)))
            elif member.kind == "def":
                self._function(f"mentioned {path}:{qualname}.{name}", path, member)
            elif member.kind == "bind" and id(member) not in shaping:
                self._count(f"statement {path}:{qualname}.{name}", path, member.piece)

    def _all_names(self, path: str) -> None:
        if path not in self._whole:
            self._whole.add(path)
            for item in self.modules.facts(path).items:
                for name in item.names:
                    self._mention(path, (name,))

    def _future(self, path: str) -> None:
        """Count whether a module's annotations are text, since they are read."""
        self._mention(path, ("annotations",))

    def _counts(self, path: str, name: str) -> bool:
        return any(f"{kind} {path}:{name}" in self.counted for kind in ("ran", "mentioned", "statement"))

    def entries(self) -> dict[str, str]:
        """Return entry -> hash of all code that counts."""
        kept = "StringIO" in self._asked and not STREAMS.isdisjoint(self._asked)
        described = kept or not READS_TEXT.isdisjoint(self._asked)
        found = dict(self.facts)
        for entry, pieces in self.counted.items():
            kind, _, rest = entry.partition(" ")
            if kind == "mentioned" and f"ran {rest}" in self.counted:
                continue
            hashes = [piece.described if described else piece.plain for piece in pieces]
            if kind not in ("mentioned", "choice"):
                hashes.sort()  # their order counts by an entry of its own
            found[entry] = hashes[0] if len(hashes) == 1 else short_hash("\n".join(hashes))
        return found

"""Find everything that counts: what ran, what happened when modules were imported, and the definitions that any of that mentions.

Every statement of an imported module counts, except a definition that does nothing but bind a name that nothing mentions. A name of a
module is mentioned by that module's own code, by an import that is mentioned itself, by a read of the module as an object, which was marked
when it ran, or by a word of a string. A definition that is only mentioned counts by its header; a class by its header and the statements of
its body; a method that nothing has entered by its header, and only if something asks for its name, so that one that is added, and would be
found first, is seen. Where code asks for names by other means (`READS_NAMES`), all of its module counts, or all that was imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tasks.stage.identity.tracing.code.facts import Chain, Item, Piece, short_hash
from tasks.stage.identity.tracing.code.importing import Importing
from tasks.stage.identity.tracing.code.mentions import ANY, FIELD_TYPES, FIELDS, TEXT_ATTRIBUTES
from tasks.stage.identity.tracing.code.modules import Modules
from tasks.stage.identity.tracing.marks import Marks

GONE = "gone"  # the value of a definition that ran and is not there
# By these, code reads the names of its own module, or of any.
READS_NAMES = frozenset({"globals", "locals", "eval", "exec", "vars", "dir", "compile"})
READS_ALL_NAMES = frozenset({"__globals__", "__builtins__", "f_globals", "f_locals", "f_back", "gi_frame", "get_objects", "get_referents"})
READS_ALL_NAMES |= {"inspect", "run_path", "run_module", "__closure__", "getclosurevars", "gc"}
READS_TEXT = frozenset({*TEXT_ATTRIBUTES, "getdoc", "cleandoc", "pydoc", "help", "doctest", "get_json_schema"})
# By these, a name that is written as text alone is read; templates and formats ask for attributes (`ASKED_TEXT`). With the library that has
# each: code that doesn't import it can't come to one by a text, so a list of words with "eval" in it evaluates nothing.
READS_WORDS = {
    **dict.fromkeys(("eval", "exec", "__import__"), "builtins"),
    **dict.fromkeys(("attrgetter", "methodcaller"), "operator"),
    **dict.fromkeys(("run_module", "run_path"), "runpy"),
    **{"import_module": "importlib", "timeit": "timeit"},
}
READS_CODE = frozenset({"__code__", "getsource", "getsourcelines", "script", "cloudpickle", "dill", "co_consts", "co_code"})
READS_TYPES = frozenset({"__annotations__", "get_annotations", "get_type_hints"})
# By these, code can come to members of a union that it never makes, or be told of them, without a name of the union. What takes one apart,
# such as `get_args`, has it from one of these or from its name, and a name that is used as a value counts with all its members.
READS_UNIONS = READS_TYPES | {
    *("annotation", "rebuild_annotation", FIELD_TYPES, "__pydantic_fields__"),
    *("model_json_schema", "json_schema", "__pydantic_core_schema__", "core_schema", "__get_pydantic_core_schema__", "TypeAdapter"),
    *("__get_pydantic_json_schema__", "__pydantic_validator__", "WrapValidator"),
}
# These refuse values where nobody notes it.
UNWATCHED = ("pydantic.dataclasses", "pydantic.validate_call", "pydantic.v1", "pydantic_core.", "pydantic_settings")
READS_CLASSES = READS_TYPES | {"__dict__", "getmembers", "getmembers_static", "dir", "vars"}
# Methods without underscores that Python's own C code calls.
PROTOCOLS = frozenset({"keys", "read", "readline", "readinto", "write", "flush", "fileno", "close", "send", "throw", "mro"})
PRIVATE = re.compile(r"_\w+?(__\w+)$")
WORD = re.compile(rb"[A-Za-z_]\w+")


class Closure:
    """The closure of marks on a source. `counted`: entry -> its pieces; `facts`: entry -> value of anything that isn't code."""

    def __init__(self, marks: Marks, modules: Modules) -> None:
        """Follow everything from the marks."""
        self.marks, self.modules, self.project = marks, modules, modules.source.project
        self.counted: dict[str, list[Piece]] = {}
        self.facts: dict[str, str] = {}
        self.libraries: set[str] = set()
        self.importing = Importing(marks, modules)
        self.reached = self.importing.reached
        self._names: dict[str, set[str]] = {}
        self._types: dict[str, set[str]] = {}
        self._words, self._imported, self._typed = set(marks.attributes), set(marks.attributes), set[str]()
        self._written = set[str]()  # words of strings in code, without those of files
        self._attributes = set(marks.attributes) | PROTOCOLS
        self._values: set[str] = set()
        self._spoken = self._asked = frozenset[str]()
        self._whole: set[str] = set()
        self._inherited: dict[tuple[str, str], frozenset[str]] = {}
        self._classes: dict[tuple[str, str], Item] = {}
        self._functions: dict[tuple[str, int], tuple[str, str, Item]] = {}
        self._followed: set[int] = set()
        self._settled: set[int] = set()  # methods that count, and execution code, which never does
        self._pending: dict[str, list[Item]] = {}
        self._bases: dict[tuple[str, str, int], tuple[list[tuple[str, Item | None]], frozenset[str] | None]] = {}
        self._told: dict[tuple[str, int], tuple[object, ...]] = {}
        self._made = frozenset(marks.made)
        self._start()
        before = -1
        while before != (before := self._size()):
            self._again()
        self._finish()

    def _start(self) -> None:
        words = self._words_of_files()
        self._words |= words
        self._attributes |= words
        for root in self.marks.roots:
            for path in [root] if root.endswith(".py") else self.modules.executed(root):
                self.importing.file(path)
        for path in (*self.marks.programs, *self._whole_files()):
            self.importing.file(path)
        for entered in self.marks.entered:
            path, _, qualname = entered.partition(":")
            if not self.project.is_execution(path, qualname):
                self._attributes.add(qualname.rpartition(".")[2])
                self._ran(path, qualname.split("."))
        reads = [(path, name) for path, _, name in (one.partition(":") for one in self.marks.reads)]
        named = [(self.modules.path_of(module), name) for module, _, name in (one.partition(":") for one in self.marks.named)]
        for where, name in [*reads, *named]:
            if where is not None and not self.project.is_execution(where, name):
                if name == "__dict__":
                    self._whole.add(where)
                self._names.setdefault(where, set()).add(name.partition(".")[0])

    def _whole_files(self) -> list[str]:
        """Return the modules that were read as text, as `runpy` does to run them."""
        paths = dict.fromkeys(one.partition(":")[0] for one in self.marks.files)
        found = [path for path in paths if path.endswith(".py") and self.modules.source.is_file(path)]
        self._whole.update(found)
        return found

    def _words_of_files(self) -> set[str]:
        """Return every word of the files that were read and hold a brace: a template may read any of them as an attribute."""
        paths = {one.partition(":")[0] for one in self.marks.files}
        texts = (self.modules.source.text(path) or b"" for path in paths if not path.endswith(".py"))
        return {word.decode() for text in texts if b"{" in text for word in WORD.findall(text)}

    def _size(self) -> int:
        size = len(self.counted) + len(self._classes) + len(self.reached)
        sets = (self._attributes, self._words, self._imported, self._typed, self._values, self._whole)
        return size + sum(len(one) for one in (*sets, *self._names.values(), *self._types.values(), *self._inherited.values()))

    def _again(self) -> None:
        """Look again at what depends on all that is asked for."""
        private = {found[1] for name in self._attributes if name[:1] == "_" and (found := PRIVATE.match(name))}
        self._spoken = frozenset(self._attributes).union(*self._names.values(), *self._types.values())
        self._asked = self._spoken | self._words | self._imported | private
        if not self._spoken.isdisjoint(READS_ALL_NAMES):
            self._whole |= self.reached.keys()
        for path in list(self.reached):
            if not path.startswith(self.project.execution_folders) and not self.project.is_execution(path):
                self._module(path)
        for (path, qualname), item in list(self._classes.items()):
            self._members(path, qualname, item)
        reads_code = not self._spoken.isdisjoint(READS_CODE)
        for entry, path, item in list(self._functions.values()):
            if item.notes is not None and (item.names[0] in self._values or f".{item.names[0]}" in self._values):
                self._count(entry, path, item.notes)
            if item.body is not None and reads_code:
                self._count(entry, path, item.body)

    def _module(self, path: str) -> None:
        names = self._names.setdefault(path, set())
        self._types.setdefault(path, set())
        facts = self.modules.facts(path)
        if not READS_NAMES.isdisjoint(names):
            self._whole.add(path)
        whole = path in self._whole
        if "__doc__" in names:
            self.facts[f"mentioned {path}:__doc__"] = facts.documentation
        if "__annotations__" in names:
            described = [item.piece.described for item in facts.items if item.kind in ("act", "typing")]
            self.facts[f"mentioned {path}:__annotations__"] = short_hash("\n".join(described))
        every = whole or "__subclasses__" in self._asked
        pending = self._pending.get(path)
        if pending is None:
            pending = [item for item in facts.items if item.kind != "program" or path in self.marks.programs]
        self._pending[path] = [item for item in pending if not self._consider(path, item, whole, every)]
        for found in pending:
            if "*" in found.names:  # what it takes from there may be any of its names
                self._imported |= names
                self.facts[f"import {path}:*"] = " ".join(module for local, module, _ in found.imports if local == "*")

    def _consider(self, path: str, item: Item, whole: bool, every: bool) -> bool:
        """Count a statement if it does; return whether that is settled, so that nothing asked for later can add to it."""
        names, types = self._names[path], self._types[path]
        always = ("__getattr__", "__dir__") if item.kind != "import" or item.imports[0][1] != "__future__" else item.names
        called = [name for name in item.names if name in names or name in self._imported or name in self._words or name in always]
        typed = [name for name in item.names if name in types or name in self._typed]
        if item.kind in ("import", "typing"):
            self._import(path, "", item, item.names if whole else called, typed)
        elif item.choice is not None:
            self._choose(path, item, whole or bool(called), bool(called or typed))
        elif every or called or typed or item.kind in ("act", "program") or not self.importing.is_loose(path, item):
            self._item(path, item)
            self._import(path, "", item, item.names if item.kind == "act" else ())
            return not item.imports
        return False

    def _item(self, path: str, item: Item) -> None:
        if item.kind == "def" and not self.project.is_execution(path, item.names[0]):
            self._function(f"mentioned {path}:{item.names[0]}", path, item)
        elif item.kind == "class" and not self.project.is_execution(path, item.names[0]):
            self._class(path, item.names[0], item)
        elif item.kind == "program":
            self._count(f"statement {path}:__main__", path, item.piece)
        elif item.kind == "act":
            names = [name for name in item.names if not self.project.is_execution(path, name)]
            for name in names if item.names else [""]:
                self._count(f"statement {path}:{name}", path, item.piece)

    def _import(self, path: str, owner: str, item: Item, called: Sequence[str], typed: Sequence[str] = ()) -> None:
        if not (item.imports and (called or typed)):
            return
        names = self._names.get(path, ())
        used = [(local in self._imported or local in names, local in self._values) for local, _, _ in item.imports]
        state = (*called, "", *typed, *used, path in self._whole)
        if self._told.get((owner, id(item))) == state:
            return  # it would say again what it has said
        self._told[owner, id(item)] = state
        for local, module, attribute in item.imports:
            if local not in called and local not in typed:
                continue
            target = self.modules.path_of(module)
            if target is not None and self.project.is_execution(target, attribute):
                continue
            entry = f"import {path}:{owner}{local}"
            meant = [f"{module}.{attribute}".rstrip(".")]
            if target is not None and attribute and not self.modules.bound(target, attribute):
                inner = self.modules.path_of(f"{module}.{attribute}")
                meant += [inner] if inner else []
            self.facts[entry] = " ".join(dict.fromkeys([*self.facts.get(entry, "").split(), *meant]))
            if not self.importing.is_ours(module):
                # A word of a string may name one of our definitions, but means no library.
                if owner or local in self._imported or local in self._names.get(path, ()) or path in self._whole:
                    self._library(module, attribute)
            elif attribute not in ("", "*"):
                (self._imported if local in called else self._typed).add(attribute)
                if local in self._values:
                    self._values.add(attribute)

    def _choose(self, path: str, item: Item, value: bool, named: bool) -> None:
        """Count what matters of a union. If a tag decides between its members, those that were never made and share no tag can't."""
        choice, name = item.choice, item.names[0]
        assert choice is not None
        if choice.frame is None and not named:  # a member of unions alone, which count it
            self.counted[f"statement {path}:{name}"] = [item.piece]
            return
        if choice.frame is None or value or self._tells_unions():
            self._count(f"statement {path}:{name}", path, item.piece)
            return
        self._count(f"choice {path}:{name}", path, choice.frame)
        labels, taken = [], set[str]()
        members = list(self._members_of(path, choice.members, frozenset()))
        for _, _, classes in members:
            taken |= {tag for where, one in classes if self._is_made(where, one) for tag in one.tags}
        for where, chain, classes in members:
            if not classes or not all(one.tags and not self._is_made(there, one) and taken.isdisjoint(one.tags) for there, one in classes):
                labels.append(f"{where}:{'.'.join(chain)} {' '.join(f'{there}:{one.names[0]}' for there, one in classes)}")
                self._names.setdefault(where, set()).add(chain[0])
                self._attributes.update(chain[1:])
        self.facts[f"kinds {path}:{name}"] = short_hash("\n".join(labels))

    def _tells_unions(self) -> bool:
        if FIELDS in self._words or FIELDS in self.marks.attributes:  # asked for by a name that is text
            return True
        return not self._spoken.isdisjoint(READS_UNIONS) or "wrap" in self._written  # the mode of a validator that takes refusals

    def _members_of(
        self, path: str, members: Iterable[Chain], above: frozenset[int]
    ) -> Iterable[tuple[str, Chain, list[tuple[str, Item]]]]:
        for chain in members:
            ends = list(self.modules.lead(path, chain))
            classes = [(where, item) for where, item in ends if item is not None and item.kind == "class"]
            inner = [(where, item.choice) for where, item in ends if item is not None and item.choice is not None]
            if classes or not inner:
                yield path, chain, classes
            for where, other in inner:
                if id(other) not in above:
                    yield from self._members_of(where, other.members, above | {id(other)})

    def _is_made(self, path: str, item: Item) -> bool:
        return "*" in self._made or f"{path}:{item.names[0]}" in self._made or path in self.marks.programs

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
        if id(piece) in self._followed:
            return
        self._followed.add(id(piece))
        self._attributes.update(piece.attributes)
        self._words.update(piece.words)
        self._written.update(piece.words)
        self._values.update(piece.values)
        self._names.setdefault(path, set()).update(piece.names)
        self._types.setdefault(path, set()).update(piece.types)
        for module, *attribute in piece.imports:
            self._imported.update(attribute)
            for name in (module, f"{module}.{attribute[0]}" if attribute else module):
                if name in self.marks.modules:
                    for executed in self.modules.executed(name):
                        self.importing.file(executed)
            if not self.importing.is_ours(module):
                self._library(module, *attribute)

    def _library(self, module: str, attribute: str = "") -> None:
        self.libraries.add(module.partition(".")[0])
        if f"{module}.{attribute}".startswith(UNWATCHED):
            self._attributes.add("__pydantic_validator__")

    def _function(self, entry: str, path: str, item: Item) -> None:
        self._functions[entry, id(item)] = (entry, path, item)
        self._count(entry, path, item.piece)

    def _class(self, path: str, qualname: str, item: Item) -> None:
        if self._classes.get((path, qualname)) is item:
            return
        self._classes[path, qualname] = item
        entry = f"mentioned {path}:{qualname}"
        self._count(entry, path, item.piece)
        for member in item.members:
            if member.kind == "class":
                self._class(path, f"{qualname}.{member.names[0]}", member)
            elif member.kind == "import":
                self._import(path, f"{qualname}.", member, member.names)
                self._count(entry, path, member.piece)
            elif member.kind != "def":
                self._count(entry, path, member.piece)
            elif member.registered:
                self._count(entry, path, member.piece)
                self._function(f"{entry}.{member.names[0]}", path, member)

    def _members(self, path: str, qualname: str, item: Item) -> None:
        """Count the methods that are found by a name that is asked for, or by Python."""
        known = self._known_names(path, qualname, item)
        every = ANY in self._asked or not self._spoken.isdisjoint(READS_CLASSES) or known is None
        for member in item.members:
            if member.kind != "def" or id(member) in self._settled:
                continue
            name = member.names[0]
            if every or name in self._asked or (known and name in known) or _is_hook(name):
                self._settled.add(id(member))
                if not self.project.is_execution(path, f"{qualname}.{name}"):
                    self._function(f"mentioned {path}:{qualname}.{name}", path, member)

    def _known_names(self, path: str, qualname: str, item: Item) -> frozenset[str] | None:
        """Return the names by which libraries that a class inherits from find its members; None if that isn't known."""
        which = path, qualname, id(item)
        if which not in self._bases:
            leads = [end for base in item.bases if base != ("object",) for end in self.modules.lead(path, base)]
            self._bases[which] = leads, self.marks.inherited(path, qualname)
        ends, found = self._bases[which]
        if found is None:
            inner_names = [
                frozenset() if inner is item else inner and self._known_names(where, inner.names[0], inner) for where, inner in ends
            ]
            found = frozenset() if all(names is not None and not names for names in inner_names) else None
        for where, inner in ends:  # a library finds what our own bases have, too
            if inner is not None and found:
                self._inherited[where, inner.names[0]] = self._inherited.get((where, inner.names[0]), frozenset()) | found
        return None if found is None else found | self._inherited.get((path, qualname), frozenset())

    def _finish(self) -> None:
        if len(self.importing.sequence) > 1:
            self.facts["order "] = short_hash("\n".join(self.importing.sequence))
        if "__subclasses__" in self._asked:
            classes = [
                f"{path}:{item.names[0]}"
                for path in self.reached
                for item in self.modules.facts(path).items
                if item.kind == "class" and item.bases and not self.project.is_execution(path, item.names[0])
            ]
            self.facts["order subclasses"] = short_hash("\n".join(classes))
        for path in sorted(self.reached):
            if not path.startswith(self.project.execution_folders) and len(order := self._order(path)) > 1:
                self.facts[f"order {path}"] = short_hash("\n".join(order))
        self.facts |= {f"module {path}": broken for path in self.reached if (broken := self.modules.facts(path).broken)}
        self.libraries |= self.importing.libraries
        self.facts |= {f"module {module}": "missing" for module in self.importing.missing}

    def _order(self, path: str) -> list[str]:
        """Return the counted statements of a file whose order can matter: some do more than bind a literal, or bind a name again."""
        found = []
        for item in self.modules.facts(path).items:
            if item.kind in ("import", "typing", "program") or self.project.is_execution(path, ",".join(item.names)):
                continue
            kinds = ("ran", "mentioned", "statement")
            names = [name for name in item.names if any(f"{kind} {path}:{name}" in self.counted for kind in kinds)]
            again = any(len(self.modules.bound(path, name)) > 1 for name in names)
            if again or not (item.constant or item.choice or self.importing.is_loose(path, item)):
                which = f" {item.piece.plain}{item.body.plain if item.body else ''}" if again else ""
                found.append((",".join(names) or item.piece.plain) + which)
        return found

    def entries(self) -> dict[str, str]:
        """Return entry -> hash of all code that counts."""
        texts = self._asked if self._evaluates_text() else self._spoken
        described = self.marks.heard or not READS_TEXT.isdisjoint(texts)
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

    def _evaluates_text(self) -> bool:
        used = self._spoken | self._imported
        return any(name in used or (name in self._asked and library in self.libraries) for name, library in READS_WORDS.items())


def _is_hook(name: str) -> bool:
    """Return whether Python or a library may find a name without being told: `__len__`, `_missing_`."""
    return name.startswith("_") and name.endswith("_")

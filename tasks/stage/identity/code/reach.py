"""Find what a function reaches inside a tree of sources, by following names from definition to definition.

Everything is included that the function may execute or read: definitions by name through any number of imports, what modules do when they
are imported, programs started by name or path, and data files named in strings. Where the analysis can't follow (a module passed around as
a value, a name put together at run time), everything it could mean is included and marked with the reason.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Callable
from functools import partial

from tasks.stage.identity.code import named_files
from tasks.stage.identity.code.import_time import order, order_matters
from tasks.stage.identity.code.source_tree import Alias, Module
from tasks.stage.identity.code.sources import OWN_FILES, Code, Sources
from tasks.stage.identity.code.syntax import data_hash, is_machinery, short_hash
from tasks.stage.identity.code.uses import Chain

PERHAPS = " perhaps: "
DOTTED = re.compile(r"(?<![\w.])(?P<name>\.?[A-Za-z_]\w*\.[\w.]*|\.[A-Za-z_]\w*)(?::(?P<attribute>\w+))?")
READS_TEXT = re.compile(
    r"__doc__|__annotations__|description|model_json_schema|json_schema|typing\.get_type_hints|functools\.singledispatch(method)?|"
    r"pydantic\.validate_call|inspect\.(signature|getdoc|getsource|get_annotations)"
)
READS_OWN_NAMES = frozenset({"globals", "vars", "eval", "exec"})
IMPORTS_ANYTHING = frozenset({"sys.modules", "pkgutil.iter_modules", "pkgutil.walk_packages", "importlib.metadata.entry_points"})
PACKAGE_FILES = frozenset({"importlib.resources.files", "pkgutil.get_data", "jinja2.PackageLoader"})


class Walk:
    """Follows names. `doubt`: the reason why what is found now may not be reached."""

    def __init__(self, sources: Sources) -> None:
        self.sources, self.tree = sources, sources.tree
        self.found: dict[str, tuple[Code | str, str]] = {}
        self.doubt = ""
        self.names: deque[tuple[Module, str]] = deque()
        self.doubtful: deque[tuple[str, Callable[[], None]]] = deque()
        self.asked: set[tuple[str, str]] = set()
        self.known: dict[tuple[str, str, Chain], bool] = {}
        self.doubted: set[tuple[str, str]] = set()
        self.touched: dict[str, Module] = {}
        self.words: set[str] = set()
        self.paths: dict[tuple[str, str], Module] = {}
        self.bare: set[tuple[str, str]] = set()

    def run(self, module: Module, function: str) -> dict[str, str]:
        """Return the hashes of what a function reaches, by `path:definition` or data file path."""
        self.touch(module.name)
        self.asked.add((module.name, function))
        self.take(module, function, module.definitions.get(function, []), entry=True)
        self.follow_all()
        while True:
            while self.doubtful:
                self.doubt, act = self.doubtful.popleft()
                act()
                self.follow_all()
            self.patches()
            self.paths_used()
            if not self.doubtful:
                break
        described = any(READS_TEXT.fullmatch(word) for word in self.words)
        return {name: self.shown(code, doubt, described) for name, (code, doubt) in sorted(self.found.items())}

    def shown(self, code: Code | str, doubt: str, described: bool) -> str:
        text = code if isinstance(code, str) else code.described if described else code.hash
        return f"{text}{PERHAPS}{doubt}" if doubt else text

    def follow_all(self) -> None:
        while self.names:
            module, name = self.names.popleft()
            self.take(module, name, module.definitions[name])

    def postpone(self, what: str, reason: str, act: Callable[[], None]) -> None:
        """Postpone code that may not be reached, so that it is marked only if nothing surer reaches it."""
        if (what, reason) not in self.doubted:
            self.doubted.add((what, reason))
            self.doubtful.append((reason, act))

    def record(self, name: str, code: Code | str) -> None:
        self.found.setdefault(name, (code, self.doubt))

    def take(self, module: Module, name: str, statements: list[ast.stmt], *, entry: bool = False, prefix: str = "") -> None:
        code = self.sources.code(module, name, statements, entry=entry, prefix=prefix)
        self.record(f"{module.relative}:{name}", code)
        used = code.uses
        self.words |= used.words | used.built_ins | used.foreign
        for alias in used.imports:
            self.execute(alias)
        for alias, chain in sorted(used.imported):
            self.follow(module, alias, chain)
        for wanted, chain in sorted(used.names):
            self.name(module, wanted, chain)
        named = [self.string(module, text, part=text in used.parts) for text in sorted(used.strings)]
        self.reflection(module, name, code, named=any(named))

    def name(self, module: Module, name: str, chain: Chain = ()) -> bool:
        """Follow a name of a module; return False when nothing there is known to bind it."""
        asked = (module.name, name, chain)
        if asked in self.known:
            return self.known[asked]
        self.known[asked] = True  # for names that lead back here
        if name in module.definitions and (module.name, name) not in self.asked:
            self.asked.add((module.name, name))
            self.names.append((module, name))
        for alias in module.imports.get(name, []):
            if alias != Alias(module.name, name):
                self.follow(module, alias, chain)
        self.known[asked] = module.binds(name) or any(self.exported(star, name, chain) for star in module.stars)
        return self.known[asked]

    def exported(self, star: str, name: str, chain: Chain) -> bool:
        """Follow a name that a star import takes from a module."""
        module = None if is_machinery(star) else self.tree.module(star)
        if module is None or not self.name(module, name, chain):
            return False
        self.binding(module, name)
        self.name(module, "__all__")
        return True

    def binding(self, module: Module, name: str) -> None:
        """Record what an imported name refers to, for other modules that import it from here."""
        if name in module.imports:
            self.record(f"{module.relative}:import {name}", short_hash("\n".join(map(str, module.imports[name]))))

    def follow(self, user: Module, alias: Alias, chain: Chain) -> None:
        """Follow `package.module.name` to the one definition it means."""
        where, rest = alias.module, ((alias.attribute, *chain) if alias.attribute else chain)
        while where in self.tree.packages and not is_machinery(where):
            module = self.tree.module(where)
            self.touch(where)
            if not rest:
                self.postpone(where, f"{where} is passed around as a value in {user.relative}", partial(self.include_all, where))
                return
            head, rest, inner = rest[0], rest[1:], f"{where}.{rest[0]}"
            known = module is not None and self.name(module, head, rest)
            if module is not None:
                self.binding(module, head)
            itself = module is None or head not in module.imports or Alias(where, head) in module.imports[head]
            if not (itself and inner in self.tree.packages):
                if not known:
                    self.postpone(
                        where, f"{user.relative} asks {where} for {head}, which is not seen in it", partial(self.include_all, where)
                    )
                return
            where = inner

    def include_all(self, where: str) -> None:
        """Include a module and all below it."""
        for name in self.tree.below(where):
            module = self.tree.module(name)
            if module is None or is_machinery(name):
                continue
            self.touch(name)
            for bound in sorted({*module.definitions, *module.imports} - {"__doc__"}):
                self.name(module, bound)
            for star in module.stars:
                if self.tree.path(star) is not None and not is_machinery(star):
                    self.postpone(star, self.doubt, partial(self.include_all, star))

    def execute(self, alias: Alias) -> None:
        """Follow what an import statement executes."""
        for name in self.tree.imported(alias):
            self.touch(name)

    def touch(self, where: str) -> None:
        """Import a module: its packages, what it imports, and what it does at its top level."""
        waiting = [where]
        while waiting:
            name = waiting.pop()
            module = self.tree.module(name)
            if name in self.touched or module is None or is_machinery(name):
                continue
            self.touched[name] = module
            waiting += [parent for parent in self.tree.imported(Alias(name)) if parent != name]
            waiting += [other for alias in module.imported for other in self.tree.imported(alias)]
            acts = self.sources.acts_at_import(module)
            order = self.order(module, acts)
            if order:
                self.take(module, "<import>", module.effects, prefix=order)
            for act in acts:
                reason = f"importing {name} may leave it where other code finds it"
                self.postpone(f"{name}:{act}", reason, partial(self._named, module, act))

    def _named(self, module: Module, name: str) -> None:
        self.name(module, name)

    def order(self, module: Module, acts: list[str]) -> str:
        """Return the order of a module's statements, where it can matter; else nothing."""
        acting = [str(alias) for alias in module.imported if self.acts(alias)]
        return "\n".join([*acting, *order(module, acts)]) if acts or order_matters(module) or len(acting) > 1 else ""

    def acts(self, alias: Alias) -> bool:
        """Return whether an import leads to a module that does something when it is imported."""
        seen: set[str] = set()
        waiting = list(self.tree.imported(alias))
        while waiting:
            name = waiting.pop()
            module = self.tree.module(name)
            if name in seen or module is None or is_machinery(name):
                continue
            seen.add(name)
            if module.effects or self.sources.acts_at_import(module):
                return True
            waiting += [other for inner in module.imported for other in self.tree.imported(inner)]
        return False

    def string(self, module: Module, text: str, *, part: bool) -> bool:
        """Follow what a string names or may be part of a name of; return False when that is no module and no file."""
        certain, possible = self.sources.files(module, text, part)
        for path in certain:
            self.file(module, path)
        for path in possible:
            self.postpone(path, f"its name may be put together in {module.relative}", partial(self.file, module, path))
        for found in DOTTED.finditer(text):
            package = module.name if module.is_package else module.name.rpartition(".")[0]
            name = f"{package}{found['name']}" if found["name"].startswith(".") else found["name"]
            if name.rstrip(".") in self.tree.packages and not is_machinery(name):
                self.named_module(module, name.rstrip("."), found["attribute"] or "", open_end=name.endswith(".") or found[0] != text)
        return bool(certain or possible)

    def named_module(self, user: Module, name: str, attribute: str, *, open_end: bool) -> None:
        """Follow a module named in a string: a program to start, or something imported at run time."""
        module = self.tree.module(name)
        self.touch(name)
        if module is not None and attribute and self.name(module, attribute):
            return
        if module is not None and module.program and not open_end:
            self.take(module, "<program>", module.program)
        else:
            self.postpone(name, f"{user.relative} names {name} in a string", partial(self.include_all, name))

    def file(self, user: Module, path: str) -> None:
        """Follow a file that code names."""
        if path.endswith(".py"):
            name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            if not is_machinery(name):
                self.named_module(user, name, "", open_end=False)
        elif path not in self.found:
            self.record(path, data_hash(path, self.tree.files[path]))
            for other in named_files.mentioned(self.tree, path):
                self.file(user, other)

    def reflection(self, module: Module, name: str, code: Code, *, named: bool) -> None:
        """Follow ways to reach code and files that no name shows."""
        used, where = code.uses, f"{module.relative} {name}"
        if used.built_ins & READS_OWN_NAMES:
            self.postpone(module.name, f"{where} looks names up at run time", partial(self.include_all, module.name))
        if used.imports_unknown or used.foreign & IMPORTS_ANYTHING:
            self.postpone("*", f"{where} imports what it is told at run time", self.everything)
        if "__subclasses__" in used.words:
            self.postpone("*", f"{where} asks for all subclasses", self.all_touched)
        for wanted, chain in used.bare:
            self.bare.add((module.name, wanted))
            for alias in module.imports.get(wanted, []):
                self.bare.add((alias.module, alias.attribute or "".join(chain[:1])))
        if code.is_path and not named:
            self.paths[module.name, name] = module
        elif used.foreign & PACKAGE_FILES or (used.built_ins & OWN_FILES and (used.joins_unknown or not named)):
            self.files_beside(module, where)

    def paths_used(self) -> None:
        """Follow constant folders used otherwise than joined with a literal name: they may lead to any file in them."""
        for (where, name), module in sorted(self.paths.items(), key=lambda item: item[0]):
            if (where, name) in self.bare:
                self.files_beside(module, f"{module.relative} {name}")

    def files_beside(self, module: Module, where: str) -> None:
        for path in named_files.beside(self.tree, module):
            self.postpone(path, f"{where} finds files of its folder", partial(self.file, module, path))

    def everything(self) -> None:
        for room in sorted({name.split(".")[0] for name in self.tree.names}):
            self.include_all(room)

    def all_touched(self) -> None:
        for name in sorted(self.touched):
            self.include_all(name)

    def patches(self) -> None:
        """Include modules that set names of the reached modules from outside."""
        for name, patched in self.sources.patches:
            for target in sorted(patched & set(self.touched) if name not in self.touched else ()):
                path = self.tree.path(name)
                self.postpone(name, f"{path} sets a name of {target}, if it is imported", partial(self.touch, name))

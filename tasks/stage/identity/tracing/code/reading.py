"""Read a module into facts: its statements, what each binds and mentions, and which definitions do nothing but bind their name.

A definition may be left out of a trace only if Python's grammar shows that its statement does nothing else: a function without decorators
whose defaults are names and literals; a class without decorators whose keywords are literals and whose body holds nothing but such
functions, literals and fields. What its bases do, with its keywords too, is judged in `closure`, which sees their modules.
"""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

from tasks.stage.identity.tracing.code.facts import Chain, Choice, FileFacts, Item, Piece, facts_key, keep_facts, kept_facts, short_hash
from tasks.stage.identity.tracing.code.mentions import (
    GETTERS,
    Reader,
    aliases,
    annotations_of,
    arguments_of,
    bound_names,
    imported,
    own_nodes,
)
from tasks.stage.identity.tracing.code.normal import FUNCTIONS, Style, Writer, chain_of, is_docstring
from tasks.stage.identity.tracing.source import Project, Source

# Facts that other rules have found are none.
RULES = short_hash("\n".join(path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))))
LITERALS = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.UnaryOp, ast.unaryop, ast.Load, ast.JoinedStr)
TYPING = ("typing", "typing_extensions", "collections.abc")
ACCESSORS = frozenset({"property", "staticmethod", "classmethod"})


def module_name(path: str) -> str:
    """Return the dotted name of a file's module."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def facts_of(source: Source, path: str, cache: Path | None = None) -> FileFacts:
    """Return the facts of a module, from the cache if it has them."""
    key = facts_key(path, source.digest_of(path), f"{RULES} {source.project.rules}")
    if (kept := kept_facts(cache, key)) is not None:
        return kept
    try:
        body = source.tree(path).body
    except (SyntaxError, ValueError) as error:
        facts = FileFacts(broken=f"{type(error).__name__}")
    else:
        facts = _Syntax(path, body, source.project).facts()
    keep_facts(cache, key, facts)
    return facts


class _Syntax:
    def __init__(self, path: str, body: list[ast.stmt], project: Project) -> None:
        name = module_name(path)
        self.package = name if path.endswith("/__init__.py") else name.rpartition(".")[0]
        self.body, self.project = body, project
        self.style = self._style()

    def facts(self) -> FileFacts:
        documentation = short_hash(ast.dump(self.body[0])) if self.body and is_docstring(self.body[0]) else ""
        return FileFacts(tuple(item for node in self.body if (item := self.item(node)) is not None), documentation)

    def _style(self) -> Style:
        nodes = own_nodes(self.body)
        names = [alias for node in nodes for alias in aliases(node, self.package)]
        made = {
            target.id
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and (chain_of(node.value.func) or ("",))[-1] == "getLogger"
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        logs = {
            local for local, module, name in names if module == "logging" or (self.project.is_execution_module(module) and name == "log")
        }
        return Style(
            loggers=frozenset(made | logs),
            fields=frozenset(local for local, module, name in names if module.split(".")[0] == "pydantic" and name in ("", "Field")),
            accessors=ACCESSORS - bound_names(nodes),
            quiet=frozenset(local for local, module, _ in names if self.project.is_execution_module(module)),
            typing=frozenset(local for local, module, _ in names if module in TYPING),
            getters=frozenset(local for local, module, name in names if module == "operator" and name in GETTERS),
            postponed=any(module == "__future__" and name == "annotations" for _, module, name in names),
        )

    def item(self, node: ast.stmt, *, in_class: bool = False) -> Item | None:
        if is_docstring(node) or isinstance(node, ast.Pass):
            return None
        if isinstance(node, FUNCTIONS):
            return None if self.style.is_overload(node) else self._function(node)
        if isinstance(node, ast.ClassDef):
            return self._class(node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found = tuple(aliases(node, self.package))
            return Item("import", tuple(a for a, _, _ in found), Piece(imports=tuple(imported(node, self.package))), imports=found)
        kind = "act"
        if isinstance(node, ast.If) and not in_class and not node.orelse:
            checks = (chain_of(node.test) or ("",))[-1] == "TYPE_CHECKING"
            kind = "typing" if checks else "program" if _is_program(node.test) else kind
        if isinstance(node, ast.AnnAssign) and node.value is None and not in_class:
            kind = "typing"
        return self._act(kind, node, in_class=in_class)

    def _act(self, kind: str, node: ast.stmt, *, in_class: bool) -> Item:
        own = own_nodes([node])
        imports = tuple(alias for inner in own for alias in aliases(inner, self.package))
        names = frozenset[str]() if kind == "typing" and not imports else bound_names(own) | {local for local, _, _ in imports}
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            names |= {node.target.id}
        reader = Reader(self.package, self.style)
        if in_class and isinstance(node, ast.AnnAssign):
            reader.field_type(node.annotation)
        piece = self._piece(Writer(self.style, in_class), node, reader)
        choice = None if in_class else self._choice(node)
        return Item(kind, tuple(sorted(names)), piece, imports=imports, constant=_binds_literals(node), choice=choice)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Item:
        evaluated = [] if self.style.postponed else annotations_of(node)
        acts = not all(map(self._names_types, evaluated))
        registered = self.style.reads_annotations(node) or acts
        reader, writer = Reader(self.package, self.style), Writer(self.style, shown=frozenset({node.name} if acts else ()))
        reader.header(node)
        reader.read(annotations_of(node) if acts else [])
        header = _piece(writer.header(node), writer, reader)
        reader = Reader(self.package, self.style)
        reader.read(annotations_of(node))
        notes = _piece(writer.notes, Writer(self.style), reader)
        reader, writer = Reader(self.package, self.style), Writer(self.style, shown=_handed_on(node), set=_set_anyway(node))
        reader.body(node)
        body = _piece(writer.write(node.body), writer, reader)
        defaults = [*node.args.defaults, *(default for default in node.args.kw_defaults if default)]
        loose = not self.style.decorators(node) and all(map(_is_still, defaults)) and not acts
        return Item("def", (node.name,), header, body, None if registered else notes, loose=loose, registered=registered)

    def _class(self, node: ast.ClassDef) -> Item:
        members = tuple(member for inner in node.body if (member := self.item(inner, in_class=True)) is not None)
        bare = ast.ClassDef(name=node.name, bases=node.bases, keywords=node.keywords, body=[], decorator_list=node.decorator_list)
        reader, writer = Reader(self.package, self.style), Writer(self.style)
        reader.read([bare])
        writer.documentation.append(ascii(ast.get_docstring(node, clean=False)))
        bases = tuple(chain_of(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases)
        registered = bool(self.style.decorators(node))
        settings = all(keyword.arg not in (None, "metaclass") and isinstance(keyword.value, ast.Constant) for keyword in node.keywords)
        plain = not registered and settings and all(bases)
        loose = plain and all(map(self._is_still_member, node.body))
        return Item(
            *("class", (node.name,), _piece(writer.write(bare), writer, reader)),
            members=members,
            loose=loose,
            registered=registered,
            plain=plain,
            bases=bases,
            tags=_tags_of(node, self.project.tag),
        )

    def _is_still_member(self, node: ast.stmt) -> bool:
        """Return whether a statement of a class's body does nothing but give the class a member."""
        if isinstance(node, FUNCTIONS):
            defaults = [*node.args.defaults, *(default for default in node.args.kw_defaults if default)]
            evaluated = [] if self.style.postponed else annotations_of(node)
            accessors = all(isinstance(d, ast.Name) and d.id in self.style.accessors for d in self.style.decorators(node))
            return accessors and all(map(_is_still, defaults)) and all(map(self._names_types, evaluated))
        if isinstance(node, ast.AnnAssign):
            value = node.value
            if isinstance(value, ast.Call) and self.style.is_field(value):
                return all(map(_is_still, [*value.args, *(keyword.value for keyword in value.keywords)]))
            return (value is None or _is_still(value)) and (self.style.postponed or self._names_types(node.annotation))
        return is_docstring(node) or isinstance(node, ast.Pass) or _binds_literals(node)

    def _names_types(self, node: ast.expr) -> bool:
        """Return whether evaluating an annotation does nothing: names, and types of Python's own with others in brackets or beside them."""
        if isinstance(node, ast.Subscript):
            name = (chain_of(node.value) or ("",))[0]
            return (hasattr(builtins, name) or name in self.style.typing) and self._names_types(node.slice)
        if isinstance(node, ast.BinOp):
            return self._names_types(node.left) and self._names_types(node.right)
        if isinstance(node, (ast.Tuple, ast.List)):
            return all(map(self._names_types, node.elts))
        return isinstance(node, (ast.Name, ast.Constant)) or bool(chain_of(node))

    def _choice(self, node: ast.stmt) -> Choice | None:
        """Return the union that a statement names; None for any other statement, and for members that are more than names."""
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            value: ast.expr | None = node.value
        else:
            value = node.value if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else None
        if value is None:
            return None
        if members := _members(value):
            return Choice(members) if len(members) > 1 else None
        if not isinstance(value, ast.Subscript) or _last(value.value) != "Annotated" or not isinstance(value.slice, ast.Tuple):
            return None
        first, *others = value.slice.elts
        if not (members := _members(first)) or not any(self._decides(other) for other in others):
            return None
        frame = ast.Expr(ast.Subscript(value.value, ast.Tuple([ast.Constant(None), *others], ast.Load()), ast.Load()))
        return Choice(members, self._piece(Writer(self.style), frame, Reader(self.package, self.style)))

    def _decides(self, node: ast.expr) -> bool:
        """Return whether this is pydantic's `Field(discriminator="kind")`, which chooses a member by its tag alone."""
        if not isinstance(node, ast.Call) or not self.style.is_field(node):
            return False
        found = (keyword.value for keyword in node.keywords if keyword.arg == "discriminator")
        return any(isinstance(value, ast.Constant) and value.value == self.project.tag for value in found)

    def _piece(self, writer: Writer, node: ast.stmt, reader: Reader) -> Piece:
        reader.read([node])
        return _piece(writer.write(node), writer, reader)


def _piece(text: str, writer: Writer, found: Reader) -> Piece:
    described = short_hash("\n".join([text, *writer.annotations, "", *writer.documentation]))
    return Piece(
        short_hash(text),
        described,
        names=tuple(sorted(found.names)),
        types=tuple(sorted(found.types)),
        attributes=tuple(sorted(found.attributes)),
        words=tuple(sorted(found.words)),
        values=tuple(sorted(found.values)),
        imports=tuple(sorted(found.imports)),
    )


def _is_still(node: ast.expr) -> bool:
    """Return whether evaluating an expression runs nothing: names, functions without a name, literals and rows of these."""
    if isinstance(node, (ast.Tuple, ast.List)):
        return all(map(_is_still, node.elts))
    return isinstance(node, (ast.Name, ast.Lambda)) or all(isinstance(part, LITERALS) for part in ast.walk(node))


def _binds_literals(node: ast.stmt) -> bool:
    """Return whether a statement binds names to literals and does nothing else."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    if value is None or not all(isinstance(target, ast.Name) for target in targets):
        return False
    return all(isinstance(part, LITERALS) for part in ast.walk(value))


def _handed_on(node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Return the names that a function uses as values."""
    called = {id(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)}
    return frozenset(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and id(inner) not in called)


def _set_anyway(node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Return the local names that a function sets, whether it declares them or not."""
    nodes = [inner for inner in own_nodes(node.body) if not isinstance(inner, ast.AnnAssign)]
    declared = {id(inner.target) for inner in own_nodes(node.body) if isinstance(inner, ast.AnnAssign) and inner.value is None}
    return bound_names(inner for inner in nodes if id(inner) not in declared) | arguments_of(node.args)


def _is_program(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and ast.unparse(test) in ("__name__ == '__main__'", "'__main__' == __name__")


def _members(node: ast.expr) -> tuple[Chain, ...]:
    """Return the members of a union or a single name; none if one of them is anything else."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        left, right = _members(node.left), _members(node.right)
        return (*left, *right) if left and right else ()
    if isinstance(node, ast.Subscript) and _last(node.value) == "Union" and isinstance(node.slice, ast.Tuple):
        parts = [_members(part) for part in node.slice.elts]
        return tuple(chain for part in parts for chain in part) if all(parts) else ()
    return (chain,) if (chain := chain_of(node)) else ()


def _tags_of(node: ast.ClassDef, tag: str) -> tuple[str, ...]:
    """Return the tags that choose a class; empty if it has none as literals."""
    for inner in node.body:
        if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name) and inner.target.id == tag:
            annotation = inner.annotation
            if isinstance(annotation, ast.Subscript) and _last(annotation.value) == "Literal":
                parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
                tags = tuple(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
                return tags if len(tags) == len(parts) else ()
    return ()


def _last(node: ast.expr) -> str:
    return (chain_of(node) or ("",))[-1]

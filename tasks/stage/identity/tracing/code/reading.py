"""Read a module into facts: its statements, what each binds, mentions and needs."""

from __future__ import annotations

import ast
from pathlib import Path

from tasks.stage.identity.tracing.code.choices import tags_of, union_of
from tasks.stage.identity.tracing.code.effects import Needs, chain_of
from tasks.stage.identity.tracing.code.facts import Choice, FileFacts, Item, Piece, facts_key, keep_facts, kept_facts, short_hash
from tasks.stage.identity.tracing.code.mentions import Found, Reader, aliases, arguments_of, bound_names, imported, own_nodes
from tasks.stage.identity.tracing.code.normal import FUNCTIONS, Style, Writer, is_docstring
from tasks.stage.identity.tracing.execution_code import EXECUTION, is_execution_module
from tasks.stage.identity.tracing.source import Source

READS_NO_ANNOTATION = frozenset({"functools", "contextlib", "abc", "typing", "typing_extensions", "torch", "dataclasses", "enum"})
# Facts that other rules have found are none.
RULES = short_hash("\n".join([repr(sorted(EXECUTION)), *(path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("*.py")))]))


def module_name(path: str) -> str:
    """Return the dotted name of a file's module."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def facts_of(source: Source, path: str, cache: Path | None = None) -> FileFacts:
    """Return the facts of a module, from the cache if it has them."""
    key = facts_key(path, source.digest_of(path), RULES)
    if (kept := kept_facts(cache, key)) is not None:
        return kept
    try:
        body = source.tree(path).body
    except (SyntaxError, ValueError) as error:
        facts = FileFacts(broken=f"{type(error).__name__}")
    else:
        facts = _Syntax(path, body).facts()
    keep_facts(cache, key, facts)
    return facts


class _Syntax:
    def __init__(self, path: str, body: list[ast.stmt]) -> None:
        name = module_name(path)
        self.package = name if path.endswith("/__init__.py") else name.rpartition(".")[0]
        self.body = body
        self.style = self._style()
        self.needs = Needs(self.style)

    def facts(self) -> FileFacts:
        documentation = short_hash(ast.dump(self.body[0])) if self.body and is_docstring(self.body[0]) else ""
        return FileFacts(tuple(item for node in self.body if (item := self.item(node)) is not None), documentation)

    def _style(self) -> Style:
        nodes = own_nodes(self.body)
        names = [alias for node in nodes for alias in aliases(node, self.package)]
        bound = bound_names(nodes)
        made = {
            target.id
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and (chain_of(node.value.func) or ("",))[-1] == "getLogger"
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        logs = {local for local, module, name in names if module == "logging" or (is_execution_module(module) and name == "log")}
        silent = {local for local, module, name in names if module.split(".")[0] in READS_NO_ANNOTATION and "dispatch" not in name}
        return Style(
            loggers=frozenset(made | logs),
            fields=frozenset(local for local, module, name in names if module.split(".")[0] == "pydantic" and name in ("", "Field")),
            blind=frozenset(silent | ({"property", "staticmethod", "classmethod"} - bound)),
            quiet=frozenset(local for local, module, _ in names if is_execution_module(module)),
        )

    def item(self, node: ast.stmt, local: frozenset[str] = frozenset(), *, in_class: bool = False) -> Item | None:
        if is_docstring(node) or isinstance(node, ast.Pass):
            return None
        needs = tuple(dict.fromkeys(self.needs.statement(node, local)))
        if isinstance(node, FUNCTIONS):
            registered = self.style.reads_annotations(node)
            if any(self._is_overload(decorator) for decorator in node.decorator_list):
                return None
            header, notes = self._header(node)
            return Item("def", (node.name,), header, self._body(node), None if registered else notes, needs=needs, registered=registered)
        if isinstance(node, ast.ClassDef):
            return self._class(node, needs, local)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found = tuple(aliases(node, self.package))
            return Item("import", tuple(a for a, _, _ in found), Piece(imports=tuple(imported(node, self.package))), imports=found)
        if isinstance(node, ast.If) and not in_class and (chain_of(node.test) or ("",))[-1] == "TYPE_CHECKING" and not node.orelse:
            names, piece, imports = self._bindings(node)
            return Item("typing", names, piece, imports=imports)
        if isinstance(node, ast.If) and not in_class and _is_program(node.test) and not node.orelse:
            names, piece, imports = self._bindings(node)
            return Item("program", names, piece, imports=imports)
        names, piece, imports = self._bindings(node, in_class=in_class)
        if isinstance(node, ast.AnnAssign) and node.value is None and not in_class:
            return Item("typing", (), piece)
        kind = "bind" if names and not (isinstance(node, ast.AugAssign) and not isinstance(node.target, ast.Name)) else "effect"
        return Item(kind, names, piece, imports=imports, needs=needs, choice=None if in_class else self._choice(node))

    def _choice(self, node: ast.stmt) -> Choice | None:
        union = union_of(node, self.style)
        if union is None:
            return None
        return Choice(union.members, None if union.frame is None else self._bindings(union.frame)[1])

    def _bindings(self, node: ast.stmt, *, in_class: bool = False) -> tuple[tuple[str, ...], Piece, tuple[tuple[str, str, str], ...]]:
        own = own_nodes([node])
        imports = tuple(alias for inner in own for alias in aliases(inner, self.package))
        names = bound_names(own) | {local for local, _, _ in imports}
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        reader, writer = Reader(self.package, self.style), Writer(self.style, in_class)
        if in_class and isinstance(node, ast.AnnAssign):
            reader.field_type(node.annotation)
        return tuple(sorted(names)), _piece(writer.write(node), writer, reader.read([node])), imports

    def _is_overload(self, decorator: ast.expr) -> bool:
        return (chain_of(decorator) or ("",))[-1] == "overload" and (chain_of(decorator)[0] in self.style.blind)

    def _header(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[Piece, Piece]:
        reader, writer = Reader(self.package, self.style), Writer(self.style)
        reader.header(node)
        header = _piece(writer.header(node), writer, reader.found)
        reader = Reader(self.package, self.style)
        reader.notes(node)
        return header, _piece(writer.notes, Writer(self.style), reader.found)

    def _body(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Piece:
        reader, writer = Reader(self.package, self.style), Writer(self.style, shown=_handed_on(node), set=_set_anyway(node))
        reader.body(node)
        return _piece(writer.write(node.body), writer, reader.found)

    def _class(self, node: ast.ClassDef, needs: tuple[tuple[str, ...], ...], local: frozenset[str]) -> Item:
        inside = local | bound_names(own_nodes(node.body))
        members = tuple(m for inner in node.body if (m := self.item(inner, inside, in_class=True)) is not None)
        bare = ast.ClassDef(name=node.name, bases=node.bases, keywords=node.keywords, body=[], decorator_list=node.decorator_list)
        reader, writer = Reader(self.package, self.style), Writer(self.style)
        reader.read([bare])
        writer.documentation.append(ascii(ast.get_docstring(node, clean=False)))
        bases = tuple(chain_of(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases)
        keywords = tuple(keyword.arg or "**" for keyword in node.keywords)
        registered = bool(self.style.decorators(node))
        return Item(
            "class",
            (node.name,),
            _piece(writer.write(bare), writer, reader.found),
            None,
            None,
            members,
            (),
            needs,
            bases,
            keywords,
            registered,
            tags_of(node),
        )


def _piece(text: str, writer: Writer, found: Found) -> Piece:
    return Piece(
        short_hash(text),
        short_hash("\n".join([text, *writer.annotations, "", *writer.documentation])),
        tuple(sorted(found.names)),
        tuple(sorted(found.far)),
        tuple(sorted(found.imports)),
        tuple(sorted(found.attributes)),
        tuple(sorted(found.values)),
        tuple(sorted(found.words)),
        tuple(sorted(found.types)),
    )


def _handed_on(node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Return the names that a function uses as values."""
    called = {id(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)}
    return frozenset(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and id(inner) not in called)


def _set_anyway(node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Return the local names that a function sets, whether it declares them or not."""
    nodes = [inner for inner in own_nodes(node.body) if not isinstance(inner, ast.AnnAssign)]
    declared = {id(inner.target) for inner in own_nodes(node.body) if isinstance(inner, ast.AnnAssign) and inner.value is None}
    return frozenset(bound_names(inner for inner in nodes if id(inner) not in declared)) | arguments_of(node.args)


def _is_program(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and ast.unparse(test) in ("__name__ == '__main__'", "'__main__' == __name__")

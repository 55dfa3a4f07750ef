"""Write syntax trees as text that shows what code does, independent of how it is formatted.

Two texts are equal if and only if the trees are, apart from comments, docstrings, formatting, line numbers, annotations that nothing
reads, `Field(description=)` and the words of log messages. They are equal on every Python that parses the code. What is left out of the
text is kept aside, for the rare code that reads it. In SQL, neither comments nor white space count; in other files that code reads, every
byte does.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tasks.stage.identity.tracing.code.facts import Chain, short_hash

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
UNREAD = frozenset({"type_comment", "kind", "ctx", "type_ignores", "returns", "annotation", "decorator_list"})
SQL = re.compile(
    r"""
    (?P<text> [eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | "(?:""|[^"])*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<blank> (?: --[^\n]* | /\*.*?\*/ | \s )+ )
    | (?P<part> \w+ | [(),;\[\]] | [^\w\s(),;\[\]'"$-]+ | . )
    """,
    re.DOTALL | re.VERBOSE,
)

LOGGING = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "fatal"})


@dataclass(frozen=True)
class Style:
    """Names of a module that its code is written by.

    `loggers`: log. `fields`: are pydantic's `Field`. `accessors`: Python's own decorators of methods. `quiet`: decorators left out, which
    are execution code. `typing`: are of Python's modules of types. `getters`: are `operator`'s. `postponed`: annotations are text.
    """

    loggers: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    accessors: frozenset[str] = frozenset()
    quiet: frozenset[str] = frozenset()
    typing: frozenset[str] = frozenset()
    getters: frozenset[str] = frozenset()
    postponed: bool = False

    def decorators(self, node: ast.AST) -> list[ast.expr]:
        """Return the decorators that count."""
        return [decorator for decorator in getattr(node, "decorator_list", []) if _root(decorator) not in self.quiet]

    def reads_annotations(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        """Return whether a decorator may read the function's annotations."""
        return not all(_root(d) in self.accessors or _is_accessor(d) for d in self.decorators(node))

    def is_overload(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        """Return whether a definition is for the type checker, since the next one of its name takes its place."""
        chains = [chain_of(decorator) for decorator in node.decorator_list]
        return any(chain and chain[0] in self.typing and chain[-1] == "overload" for chain in chains)

    def is_field(self, node: ast.Call) -> bool:
        """Return whether a call is of pydantic's `Field`."""
        return _root(node.func) in self.fields and _last(node.func) in ("", "Field")

    def counted_arguments(self, node: ast.Call) -> tuple[list[ast.expr], list[ast.keyword]]:
        """Return the arguments of a call without descriptions of fields and words of log messages."""
        if self.is_field(node):
            return node.args, [keyword for keyword in node.keywords if keyword.arg != "description"]
        if _root(node.func) in self.loggers and (isinstance(node.func, ast.Name) or _last(node.func) in LOGGING):
            return [_without_words(argument) for argument in node.args], node.keywords
        return node.args, node.keywords


@dataclass
class Writer:
    """Writes one piece of code. `shown`: functions whose annotations may be read, because they are handed on as values. `set`: local
    names that are set, whether they are declared or not.

    `annotations` and `documentation` are what was left out; `notes` are the annotations of the function written last.
    """

    style: Style
    in_class: bool = False
    shown: frozenset[str] = frozenset()
    set: frozenset[str] = frozenset()
    annotations: list[str] = field(default_factory=list)
    documentation: list[str] = field(default_factory=list)
    notes: str = ""

    def header(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        """Return a function without its body."""
        return self._function(node, frozenset({"body"}))

    def write(self, node: object) -> str:
        """Return a node, a list of nodes or a plain value as text."""
        if isinstance(node, list):
            return "[" + ",".join([text for item in node if not self._is_docstring(item) and (text := self.write(item))]) + "]"
        if not isinstance(node, ast.AST):
            return ascii(node)  # which characters `repr` escapes differs between versions of Python
        if isinstance(node, FUNCTIONS):
            return self._function(node, frozenset())
        if isinstance(node, ast.AnnAssign) and not self.in_class:
            self.annotations.append(self.write(node.annotation))
            if node.value is None and isinstance(node.target, ast.Name) and node.target.id in self.set:
                return ""
            if node.value is None:
                return f"Declare({self.write(node.target)})"
            return f"Assign(targets=[{self.write(node.target)}],value={self.write(node.value)})"
        if isinstance(node, ast.ClassDef):
            self.in_class, before = True, self.in_class
            text = self._fields(node, frozenset())
            self.in_class = before
            return text + self.write(self.style.decorators(node))
        if isinstance(node, ast.Call):
            return self._call(node)
        return self._fields(node, frozenset())

    def _fields(self, node: ast.AST, drop: frozenset[str]) -> str:
        skipped = UNREAD - {"annotation"} if isinstance(node, ast.AnnAssign) else UNREAD
        parts = []
        for name, value in ast.iter_fields(node):
            if value is None or name in skipped or name in drop or value == []:
                continue
            parts.append(f"{name}={self.write(value)}")
        return f"{type(node).__name__}({','.join(parts)})"

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, drop: frozenset[str]) -> str:
        self.in_class, before = False, self.in_class
        text = self._fields(node, drop) + self.write(self.style.decorators(node))
        if drop:
            # Called, it may run nothing of its body yet.
            text += "generator" if any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in _own(node.body)) else ""
            self.documentation.append(ascii(ast.get_docstring(node, clean=False)))
        arguments = node.args
        every = (*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg)
        annotations = self.write([*(argument.annotation for argument in every if argument), node.returns])
        self.notes = annotations
        if node.name in self.shown or self.style.reads_annotations(node):
            text += annotations
        else:
            self.annotations.append(annotations)
        self.in_class = before
        return text

    def _call(self, node: ast.Call) -> str:
        arguments, keywords = self.style.counted_arguments(node)
        if arguments is not node.args or keywords is not node.keywords:
            self.documentation += [self.write(part) for part in (*node.args, *node.keywords)]
            node = ast.Call(node.func, arguments, keywords)
        return self._fields(node, frozenset())

    def _is_docstring(self, node: object) -> bool:
        if not is_docstring(node):
            return False
        self.documentation.append(ast.dump(node))  # type: ignore[arg-type]
        return True


def _own(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in body:
        if not isinstance(node, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            yield node
            yield from _own(ast.iter_child_nodes(node))


def is_docstring(node: object) -> bool:
    """Return whether a statement is a bare string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _without_words(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ast.Constant("")
    if isinstance(node, ast.JoinedStr):
        return ast.JoinedStr([value for value in node.values if not isinstance(value, ast.Constant)])
    return node


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""


def _is_accessor(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("setter", "getter", "deleter")


def chain_of(node: ast.AST) -> Chain:
    """Return `a.b.c` as ("a", "b", "c"); () for anything else."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    return (node.id, *attributes) if isinstance(node, ast.Name) else ()


def data_hash(path: str, content: bytes | None) -> str:
    """Return the hash of a file, "" if it is gone."""
    if content is None:
        return ""
    if path.endswith(".sql"):
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            return short_hash("\0".join(found[0] for found in SQL.finditer(text) if found["blank"] is None))
    return hashlib.sha256(content).hexdigest()[:24]

"""What a trace can't see in code that counts, found in its text.

A trace knows definitions by name and files that Python opens. It can't know a variable of the environment, which names a namespace was
searched for, on which line a function stands, or a file that compiled code opens by itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

Rule = str
ENVIRONMENT, NAMESPACE, POSITION, SURROUNDINGS, BUILTINS, NATIVE = (
    "environment",
    "namespace",
    "position",
    "surroundings",
    "builtins",
    "native",
)

WHY: dict[Rule, str] = {
    ENVIRONMENT: "the environment is part of no key; make it a config's field, or give it to execution code alone",
    NAMESPACE: "a trace counts the names that code mentions; put what is searched into a table",
    POSITION: "lines move without a change; a trace does not count them",
    SURROUNDINGS: "clocks, hosts and processes are part of no key, and the same inputs must give the same bytes",
    BUILTINS: "each module has builtins of its own while it is recorded",
    NATIVE: "compiled code opens files unseen; read the file in Python and give it the text",
}
CALLS: dict[str, Rule] = {
    **dict.fromkeys(("globals", "locals", "vars", "dir", "eval", "exec", "compile"), NAMESPACE),
    **dict.fromkeys(("inspect.getmembers", "inspect.getmembers_static", "gc.get_objects", "gc.get_referrers"), NAMESPACE),
    **dict.fromkeys(("sys._getframe", "inspect.currentframe", "inspect.stack", "inspect.getsourcelines"), POSITION),
    **dict.fromkeys(("os.getenv", "os.getenvb", "os.path.expandvars", "os.path.expanduser", "pathlib.Path.home"), ENVIRONMENT),
    **dict.fromkeys(
        ("time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"), SURROUNDINGS
    ),
    **dict.fromkeys(("uuid.uuid1", "uuid.uuid4", "os.urandom", "socket.gethostname", "getpass.getuser"), SURROUNDINGS),
    **dict.fromkeys(("os.getpid", "os.getlogin", "os.uname", "os.cpu_count", "os.sched_getaffinity", "os.getloadavg"), SURROUNDINGS),
    **dict.fromkeys(("random.random", "random.choice", "random.shuffle", "random.randrange", "random.sample"), SURROUNDINGS),
}
ROOTS = frozenset(name.partition(".")[0] for name in CALLS if "." in name) | {"platform", "secrets"}
PREFIXES: dict[str, Rule] = {"os.environ": ENVIRONMENT, "os.environb": ENVIRONMENT, "secrets.": SURROUNDINGS, "platform.": SURROUNDINGS}
ATTRIBUTES: dict[str, Rule] = {
    **dict.fromkeys(("__dict__", "f_globals", "f_locals", "f_builtins"), NAMESPACE),
    **dict.fromkeys(("__code__", "co_firstlineno", "co_lines", "co_consts", "f_lineno", "tb_lineno"), POSITION),
}
# What may be done with a path of ours: it is read, asked or made longer by Python, or begins a process, which marks for itself.
HARMLESS = frozenset(
    {"Path", "open", "PackageLoader", "FileSystemLoader", "as_file", "print", "len", "sorted", "isinstance", "relative_to", "quote"}
)
READERS = frozenset({"read_text", "read_bytes", "open", "exists", "is_file", "is_dir", "iterdir", "glob", "rglob", "stat"})
TEXTS = frozenset({"str", "fspath", "join", "resolve", "with_name", "with_suffix", "joinpath", "absolute", "as_posix", "filter", "abspath"})


@dataclass(frozen=True)
class Finding:
    """A place that a trace can't see into."""

    path: str
    line: int
    definition: str
    rule: Rule
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.definition}: {self.text}: {WHY[self.rule]}"


def unseen(path: str, text: str, ours: frozenset[str] = frozenset()) -> list[Finding]:
    """Everything in a file that a trace can't see into; `ours`: names of functions of ours, which may be given a path of ours."""
    tree = ast.parse(text)
    names = {alias.asname or alias.name: alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ROOTS
        for alias in node.names
    }
    found = [
        Finding(path, node.lineno, definition, rule, ast.unparse(node)[:80])
        for node, definition in _walk(tree, "")
        if isinstance(node, (ast.Call, ast.Attribute, ast.Name, ast.Assign))
        for rule in _rules(node, names)
    ]
    found += [
        Finding(path, node.lineno, definition, NATIVE, ast.unparse(node)[:80])
        for node, definition in _given_on(tree, HARMLESS | READERS | TEXTS | ours)
    ]
    return sorted(set(found), key=lambda finding: (finding.line, finding.rule, finding.text))


def _walk(node: ast.AST, definition: str) -> Iterator[tuple[ast.AST, str]]:
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        inner = f"{definition}.{child.name}".lstrip(".") if named else definition  # type: ignore[attr-defined]
        yield child, inner
        yield from _walk(child, inner)


def _rules(node: ast.AST, names: dict[str, str]) -> Iterator[Rule]:
    if isinstance(node, ast.Call) and (called := _dotted(node.func, names)) in CALLS:
        if "." not in called or _root(node.func) in names:
            yield CALLS[called]
    elif isinstance(node, ast.Attribute):
        if node.attr in ATTRIBUTES and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            yield ATTRIBUTES[node.attr]
        yield from _prefixed(_dotted(node, names))
    elif isinstance(node, ast.Name) and names.get(node.id, "") != node.id:
        yield from _prefixed(names.get(node.id, ""))
    elif isinstance(node, ast.Assign):
        yield from (BUILTINS for target in node.targets if _dotted(target, names).startswith("builtins."))


def _prefixed(dotted: str) -> Iterator[Rule]:
    yield from (rule for prefix, rule in PREFIXES.items() if dotted == prefix or (prefix.endswith(".") and dotted.startswith(prefix)))


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value, names)):
        return f"{owner}.{node.attr}"
    return ""


def definitions(text: str) -> Iterator[str]:
    """The names of all functions and classes of a file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name


def _given_on(tree: ast.Module, known: frozenset[str]) -> Iterator[tuple[ast.Call, str]]:
    """Calls that are given a path of ours, and are neither Python's own nor the beginning of a process."""
    ours = _own_paths(tree)
    for node, definition in _walk(tree, ""):
        if not isinstance(node, ast.Call) or _last(node.func) in known or _dotted(node.func, {}).startswith("subprocess."):
            continue
        if any(_is_path(argument, ours) for argument in [*node.args, *(keyword.value for keyword in node.keywords)]):
            yield node, definition


def _own_paths(tree: ast.Module) -> set[str]:
    """Names, anywhere in a module, that hold a path made of `__file__` or of a package's resources."""
    ours: set[str] = {"__file__"}
    for _ in range(3):
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and _is_path(node.value, ours):
                ours |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").endswith(".sql"):
                ours |= {alias.asname or alias.name for alias in node.names}
    return ours


def _is_path(node: ast.expr, ours: set[str]) -> bool:
    """Whether an expression is a path of ours, or a text that holds one."""
    if isinstance(node, ast.Name):
        return node.id in ours
    if isinstance(node, ast.Call):
        if _last(node.func) == "files" and node.args:
            return True
        above = node.func.value if isinstance(node.func, ast.Attribute) else None
        inside = [*node.args, *([above] if above is not None else [])]
        return _last(node.func) in TEXTS | {"Path"} and any(_is_path(inner, ours) for inner in inside)
    if isinstance(node, ast.BinOp):
        return _is_path(node.left, ours) or _is_path(node.right, ours)
    if isinstance(node, ast.Attribute):
        return node.attr in ("parent", "parents") and _is_path(node.value, ours)
    if isinstance(node, ast.Subscript):
        return _is_path(node.value, ours)
    if isinstance(node, ast.JoinedStr):
        return any(_is_path(value.value, ours) for value in node.values if isinstance(value, ast.FormattedValue))
    return isinstance(node, (ast.List, ast.Tuple)) and any(_is_path(item, ours) for item in node.elts)


def _root(node: ast.expr) -> str:
    return _root(node.value) if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""

"""Judge whether executing a statement of a module does nothing but bind its names.

Statements are harmless only if known to be: literals, functions, classes whose creation runs no repository code, and calls of library
functions that return a value without keeping a reference.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable

from tasks.stage.identity.tracing.code.facts import Chain, Item
from tasks.stage.identity.tracing.code.modules import Modules, Step

HARMLESS = re.compile(
    "(__future__|abc|base64|collections|contextlib|contextvars|dataclasses|datetime|decimal|enum|fractions|functools|hashlib|itertools|json|"
    "math|numpy|operator|pathlib|pyarrow|pydantic|re|string|struct|textwrap|types|typing|typing_extensions|uuid|zlib|importlib.resources|"
    r"logging.getLogger|threading.(Lock|RLock|local|Event)|os.(path|environ.get|getenv|fspath)|torch.(no_grad|inference_mode|device|Size))(\.|$)"
)
HARMFUL = re.compile(
    r"numpy\.random|functools\.reduce|re\.(sub|subn)$|uuid\.uuid|(.+\.)?(set|enable|disable|register|install|add|filter|use|patch|seed|config|"
    r"init|load|save|write|read|open|mkdir|touch|unlink|remove|rename|replace|append|extend|update|pop|clear|insert|delete|del)_?[a-z]*$"
)
BASES = re.compile(r"(pydantic|torch|numpy|pyarrow|typing_extensions|deepspeed)\.")
ACTING = frozenset(
    {"exec", "eval", "setattr", "delattr", "__import__", "globals", "vars", "print", "open", "input", "compile", "super", "next"}
)
CALL_BACK = frozenset({"map", "filter", "sorted", "max", "min", "sum", "any", "all", "iter", "type", "classmethod", "list.sort"})
ACCESSORS = frozenset({"property", "staticmethod", "classmethod"})
MAKING = frozenset(
    {"__new__", "__init__", "__post_init__", "model_post_init", "__set_name__", "__call__", "__init_subclass__", "__class_getitem__"}
)
PLAIN_METHODS = frozenset(
    {"join", "split", "items", "keys", "values", "lower", "upper", "strip", "format", "encode", "copy", "union", "replace", "get"}
    | {"match", "fullmatch", "search", "findall", "with_name", "joinpath", "resolve", "removeprefix", "removesuffix", "index", "count"}
    | {"field", "append_column"}
)

Question = tuple[str, int | Chain]
"""About a statement of a file, or about what a name means in it."""


class Purity:
    """Judgements about one source; each is made once."""

    def __init__(self, modules: Modules) -> None:
        """Judge statements of these modules."""
        self.modules = modules
        self._known: dict[Question, bool] = {}
        self._open: set[Question] = set()
        self._granted: set[Question] = set()

    def is_pure(self, path: str, item: Item) -> bool:
        """Return whether executing a statement only binds its names."""
        return self._judge((path, id(item)), lambda: all(self._holds(path, need, item) for need in item.needs))

    def is_plain_value(self, path: str, chain: Chain) -> bool:
        """Return whether a name means a value whose operators and attributes run no code of ours."""
        return self._judge((path, chain), lambda: all(self._plain_step(step) for step in self.modules.follow(path, chain)))

    def _judge(self, question: Question, answer: Callable[[], bool]) -> bool:
        """Answer once. A question that leads back to itself is granted there, and what was answered by that alone is not remembered, so
        that no answer depends on the order of questions.
        """
        if question in self._known:
            return self._known[question]
        if question in self._open:
            self._granted.add(question)
            return True
        before, self._granted = self._granted, set()
        self._open.add(question)
        found = answer()
        self._open.discard(question)
        self._granted.discard(question)
        if not found or not self._granted:
            self._known[question] = found
        self._granted |= before
        return found

    def _plain_step(self, step: Step) -> bool:
        for item in step.items:
            if item.kind in ("def", "class", "import", "typing"):
                continue
            if not self.is_pure(step.path, item) or any(self._makes_ours(step.path, need) for need in item.needs):
                return False
        return True

    def _makes_ours(self, path: str, need: Chain) -> bool:
        if need[0] != "call":
            return False
        return any(item.kind != "import" for step in self.modules.follow(path, need[3:]) for item in step.items if item.kind != "bind")

    def _holds(self, path: str, need: Chain, item: Item) -> bool:
        kind, *rest = need
        chain = tuple(rest)
        if kind == "op":
            return self.is_plain_value(path, chain)
        if kind == "get":
            return len(chain) < 2 or self.is_plain_value(path, chain[:1]) or self.is_plain_value(path, chain)
        if kind == "call":
            return self._call(path, chain[0] == "lambda", tuple(tuple(one.split(".")) for one in chain[1].split()), chain[2:])
        if kind == "decorator":
            return self._decorator(path, chain)
        if kind == "base":
            return self._base(path, chain) and not (self._is_enum(path, chain) and any(set(m.names) & MAKING for m in item.members))
        if kind == "keyword":
            return chain[0] not in ("metaclass", "**")
        if kind == "augmented":
            return all(other.kind == "bind" and not other.imports for other in self.modules.bound(path, chain[0]))
        return False

    def _ends(self, path: str, chain: Chain) -> tuple[Step, ...]:
        """Return all that a name can mean in the end."""
        steps = self.modules.follow(path, chain)
        return tuple(step for step in steps if not step.items or any(item.kind not in ("import", "typing") for item in step.items)) or steps

    def _call(self, path: str, handed: bool, passed: tuple[Chain, ...], chain: Chain) -> bool:
        values = all(self.is_plain_value(path, one) for one in passed)
        return all(self._called(path, handed, passed, chain, end, values) for end in self._ends(path, chain))

    def _called(self, path: str, handed: bool, passed: tuple[Chain, ...], chain: Chain, last: Step, values: bool) -> bool:
        if last.library:
            return bool(HARMLESS.match(last.library)) and not HARMFUL.match(last.library)
        if not last.items:
            return last.path == path and self._built_in(path, handed, passed, chain) and values
        if last.items and all(item.kind == "class" for item in last.items):
            if last.rest:
                return False
            return all(self.is_plain_class(last.path, item) for item in last.items)
        if last.items and all(item.kind == "bind" for item in last.items) and last.rest and last.rest[-1] in PLAIN_METHODS:
            return self.is_plain_value(last.path, (last.name,)) and values and not handed
        return False

    def _built_in(self, path: str, handed: bool, passed: tuple[Chain, ...], chain: Chain) -> bool:
        if chain[0] == "vars" and passed and all(end.library for one in passed for end in self._ends(path, one)):
            return True
        if chain[0] in ACTING or not hasattr(builtins, chain[0]):
            return False
        calls = handed or any(item.kind in ("def", "class") for one in passed for s in self.modules.follow(path, one) for item in s.items)
        return not (calls and chain[0] in CALL_BACK)

    def _decorator(self, path: str, chain: Chain) -> bool:
        return all(
            bool(HARMLESS.match(end.library)) if end.library else not end.items and chain[0] in ACCESSORS for end in self._ends(path, chain)
        )

    def _base(self, path: str, chain: Chain) -> bool:
        return all(self._based(chain, end) for end in self._ends(path, chain))

    def _based(self, chain: Chain, end: Step) -> bool:
        if end.library:
            return end.library.partition(".")[0] in sys.stdlib_module_names or bool(BASES.match(end.library))
        if not end.items:
            return hasattr(builtins, chain[0]) and chain[0] != "type"
        return all(item.kind == "class" and not self._acts_when_inherited(end.path, item) for item in end.items)

    def _acts_when_inherited(self, path: str, item: Item) -> bool:
        names = {name for member in item.members for name in member.names}
        return "__init_subclass__" in names or "metaclass" in item.keywords or not all(self._base(path, base) for base in item.bases)

    def _is_enum(self, path: str, chain: Chain) -> bool:
        ends = self._ends(path, chain)
        inner = ((end.path, base) for end in ends for item in end.items for base in item.bases if base)
        return any(end.library.startswith("enum.") for end in ends) or any(self._is_enum(*base) for base in inner)

    def is_plain_class(self, path: str, item: Item) -> bool:
        """Return whether making an object of a class of ours runs no code of ours."""
        names = {name for member in item.members for name in member.names}
        if names & MAKING or (item.registered and not self.is_pure(path, item)):
            return False
        if any(member.kind == "def" and member.registered for member in item.members):
            return False  # such as a validator
        return all(self._plain_base(path, base) for base in item.bases)

    def _plain_base(self, path: str, chain: Chain) -> bool:
        return self._base(path, chain) and all(
            item.kind == "class" and self.is_plain_class(end.path, item) for end in self._ends(path, chain) for item in end.items
        )

"""Special methods that are added and found first, and objects that another module changes."""

from __future__ import annotations

from tests.identity.edits.case import QUIET, Program, edit, program

# Special method added to Room; what near.py returns, which asks for it.
SPECIAL: dict[str, tuple[str, ...]] = {
    "__radd__": ("attempt(lambda: sum([Room(), Room()]))", "def __radd__(self, other):\n        return 5"),
    "__lt__": ("attempt(lambda: sorted([Room(), Room()])[0].n)", "def __lt__(self, other):\n        return True"),
    "__iadd__": ("plus(Room())", "def __iadd__(self, other):\n        return 6"),
    "__call__": ("callable(Room())", "def __call__(self):\n        return 7"),
    "__reversed__": ("list(reversed(Room()))", "def __reversed__(self):\n        return iter('x')"),
    "__index__": ("attempt(lambda: [1, 2][Room()])", "def __index__(self):\n        return 1"),
    "__fspath__": ("attempt(lambda: os.fspath(Room()))", "def __fspath__(self):\n        return 'x'"),
    "__array__": ("numpy.asarray(Room()).tolist()", "def __array__(self, dtype=None, copy=None):\n        return numpy.array([8])"),
    "__array_ufunc__": ("attempt(lambda: numpy.add(1, Room()))", "def __array_ufunc__(self, *how, **more):\n        return 9"),
    "__getattribute__": ("Room().n", "def __getattribute__(self, name):\n        return 10"),
    "__getattr__": ("attempt(lambda: Room().missing)", "def __getattr__(self, name):\n        return 11"),
    "__new__": ("getattr(Room(), 'n')", "def __new__(cls):\n        made = super().__new__(cls)\n        made.n = 12\n        return made"),
    "__init__": ("Room().n", "def __init__(self):\n        self.n = 13"),
    "__del__": ("(Room(), 0)[1], gc.collect() * 0, far.SEEN", "def __del__(self):\n        SEEN.append(14)"),
    "__getstate__": ("pickle.loads(pickle.dumps(Room())).__dict__", "def __getstate__(self):\n        return {'n': 15}"),
    "__enter__": (
        "attempt(lambda: contextlib.ExitStack().enter_context(Room()))",
        "def __enter__(self):\n        return 16\n    def __exit__(self, *error):\n        pass",
    ),
    "__dir__": ("[n for n in dir(Room()) if n[0] != '_']", "def __dir__(self):\n        return ['x']"),
    "__rmul__": ("attempt(lambda: 'a' * Room())", "def __rmul__(self, other):\n        return 17"),
    "__html__": (
        "jinja2.Environment(autoescape=True).from_string('{{ r }}').render(r=Room())",
        "def __html__(self):\n        return '<b>'",
    ),
    "__round__": ("attempt(lambda: round(Room()))", "def __round__(self):\n        return 18"),
    "__instancecheck__ of a metaclass": (
        "isinstance(3, far.Checked)",
        "__instancecheck__ = lambda self, thing: True",
        "class Meta(type):\n    pass",
    ),
    "__init_subclass__ of a base": ("far.SEEN", "def __init_subclass__(cls):\n        SEEN.append(19)"),
    "__subclasshook__": (
        "isinstance(3, far.Abstract)",
        "__subclasshook__ = classmethod(lambda cls, other: True)",
        "class Abstract(abc.ABC):\n    pass",
    ),
    "__await__": (
        "attempt(lambda: asyncio.run(far.waiting()))",
        "def __await__(self):\n        yield from asyncio.sleep(0).__await__()\n        return 20",
    ),
    "__str__ of a key": ("json.dumps({'a': Room()}, default=str)", "def __str__(self):\n        return 'room'"),
    "__divmod__": ("attempt(lambda: divmod(Room(), 2))", "def __divmod__(self, other):\n        return 21"),
    "__ror__": ("attempt(lambda: {} | Room())", "def __ror__(self, other):\n        return 22"),
    "__rich_repr__, which nothing asks for": ("Room().n", "def __rich_repr__(self):\n        yield 23"),
}


def special(name: str, how: str, method: str, instead_of: str = "# Special methods stand here.") -> Program:
    """A program to whose class a special method is added; `instead_of`: an empty class that gets it."""
    body = instead_of.replace("pass", method) if "pass" in instead_of else method
    return program(
        f"""
import asyncio, contextlib, gc, jinja2, json, numpy, os, pickle
from data import far
from data.far import Room
def attempt(act):
    try:
        return act()
    except (TypeError, AttributeError) as error:
        return type(error).__name__
def plus(room):
    room += 1
    return room
def work():
    return {how}
--- far.py
import abc, asyncio
import numpy
SEEN = []
class Meta(type):
    pass
class Abstract(abc.ABC):
    pass
class Room:
    n = 1
    def __add__(self, other):
        return 2
    def __len__(self):
        return 1
    def __getitem__(self, key):
        if key:
            raise IndexError
        return 3
    def __repr__(self):
        return "Room"
    # Special methods stand here.
class Hall(Room):
    pass
class Checked(metaclass=Meta):
    pass
async def waiting():
    return await Room()
""",
        edit(f"{name} added", "far.py", instead_of, body, QUIET if "nothing asks" in name else ""),
    )


# What a module, imported for its effect, does to another; what near.py returns; an edit of far.py, or of the module if it says so.
PATCHED = {
    "function of another module replaced": ("far.helper = better", "far.go()", "patch.py", "return 5", "return 6"),
    "builtin hidden in another module": ("far.len = lambda items: 7", "far.go()", "patch.py", ": 7", ": 8"),
    "attribute of a class replaced by a property": (
        "far.Room.size = property(lambda self: 3)",
        "far.Room().size",
        "patch.py",
        ": 3",
        ": 4",
    ),
    "method put into a class by setattr": (
        "setattr(far.Room, 'len' + 'gth', better)",
        "far.Room().length(1)",
        "patch.py",
        "return 5",
        "return 6",
    ),
    "dictionary of a class changed through vars": ("vars(far)['helper'] = better", "far.go()", "patch.py", "return 5", "return 6"),
    "default of a function replaced": ("far.helper.__defaults__ = (9,)", "far.go()", "patch.py", "(9,)", "(8,)"),
    "__class__ of an object replaced": ("far.ROOM.__class__ = Other", "far.ROOM.size", "patch.py", "size = 8", "size = 9"),
    "bases of a class replaced": ("far.Hall.__bases__ = (Other,)", "far.Hall().size", "patch.py", "size = 8", "size = 9"),
    "list shared through two modules": ("rows = far.ROWS\nrows += [2]", "far.ROWS", "patch.py", "[2]", "[3]"),
    "value put into a closure's cell": ("far.closed.__closure__[0].cell_contents = 4", "far.closed()", "patch.py", "= 4", "= 5"),
    "function of the library replaced": (
        "import json\njson.dumps = lambda thing: 'patched'",
        "__import__('json').dumps(1)",
        "patch.py",
        "'patched'",
        "'changed'",
    ),
    "hook of imports": (
        "import sys, importlib.abc, importlib.util\nclass Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        return importlib.util.spec_from_loader(name, self) if name == 'virtual' else None\n"
        "    def exec_module(self, module):\n        module.VALUE = 1 + better()\n"
        "sys.meta_path.append(Finder())",
        "__import__('virtual').VALUE",
        "patch.py",
        "1 + better",
        "2 + better",
    ),
    "path of a package extended": (
        "import data\ndata.__path__.append(data.__path__[0] + '/more')",
        "__import__('data.extra').extra.VALUE",
        "more/extra.py",
        "VALUE = 1",
        "VALUE = 2",
    ),
    "sub-module that only another module imports": (
        "import data.more.extra",
        "hasattr(__import__('data.more').more, 'extra')",
        "patch.py",
        "import data.more.extra",
        "pass",
    ),
    "warning that becomes an error": (
        "import warnings\nwarnings.simplefilter('error')",
        "attempt(far.warn)",
        "patch.py",
        "'error'",
        "'ignore'",
    ),
    "hook of a class of the library": (
        "import collections\nclass Counter(collections.Counter):\n"
        "    def __missing__(self, key):\n        return 6\nfar.COUNTS = Counter()",
        "far.COUNTS['x']",
        "patch.py",
        "return 6",
        "return 7",
    ),
}


def patched(what: str, act: str, how: str, path: str, old: str, new: str) -> Program:
    """A program of which one module changes another."""
    return program(
        f"""
from data import far, patch
def attempt(act):
    try:
        return act()
    except Exception as error:
        return type(error).__name__
def work():
    return {how}
--- patch.py
from data import far
def better(*given):
    return 5
def worse(*given):
    return 0
class Other:
    size = 8
{act}
--- far.py
import warnings
ROWS = [1]
class Base:
    pass
class Room:
    size = 1
class Hall(Base):
    size_of_hall = 2
ROOM = Room()
def helper(n=1):
    return n
def go():
    return helper() + len(ROWS)
def warn():
    warnings.warn("old")
    return 1
def close(n):
    return lambda: n
closed = close(1)
--- more/extra.py
VALUE = 1
""",
        edit(what, path, old, new),
        *([edit(f"unused function beside: {what}", "patch.py", "return 0", "return -1", QUIET)] if len(what) % 3 == 0 else []),
    )


PROGRAMS = (
    *(special(name, *how) for name, how in SPECIAL.items()),
    *(patched(what, *how) for what, how in PATCHED.items()),
)

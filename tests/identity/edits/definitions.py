"""Definitions that nothing mentions, and that act all the same: by a decorator, a base, a body; classes and functions made by calls."""

from __future__ import annotations

from tests.identity.edits.case import QUIET, Program, edit, program

AFTER = "\nEND = 1\n"
# Text put before the end of far.py; what near.py returns.
ADDED = {
    "decorator that is a list's append": ("[f() for f in far.ORDER if callable(f)]", "@ORDER.append\ndef unused():\n    return 5"),
    "base that is made by a call": ("far.ORDER", "class Unused(ORDER.append(3) or object):\n    pass"),
    "loop in a class": ("far.ORDER", "class Unused:\n    for n in range(2):\n        ORDER.append(n)"),
    "import in a class": ("far.ORDER", "class Unused:\n    from data import effects"),
    "import in a class in a class": ("far.ORDER", "class Unused:\n    class Inner:\n        import data.effects"),
    "descriptor that tells its owner": ("far.ORDER", "class Unused:\n    size = far_field()"),
    "metaclass of a library that registers": (
        "yaml.load('!room {}', yaml.Loader).__class__.__name__",
        "class Unused(yaml.YAMLObject):\n    yaml_tag = '!room'",
    ),
    "subclass of a library's class that is listed": (
        "[c.__name__ for c in argparse.Action.__subclasses__() if c.__module__ == 'data.far']",
        "class Unused(argparse.Action):\n    pass",
    ),
    "subclass of object, all listed": (
        "[c.__name__ for c in object.__subclasses__() if c.__module__ == 'data.far']",
        "class Unused:\n    pass",
    ),
    "virtual subclass": ("isinstance(3, far.Shape)", "Shape.register(int)"),
    "keyword default": ("far.ORDER", "def unused(*, limit=ORDER.append(4)):\n    return limit"),
    "annotation of a class attribute": ("far.ORDER", "class Unused:\n    size: ORDER.append(5) or int"),
    "method's default": ("far.ORDER", "class Unused:\n    def size(self, n=ORDER.append(6)):\n        return n"),
    "method's decorator": (
        "far.ORDER",
        "class Unused:\n    @ORDER.append\n    def size(self):\n        return 1\nORDER.pop()\nORDER.append(7)",
    ),
    "definition under a with": (
        "far.seen()",
        "import contextlib\nwith contextlib.suppress(ValueError):\n    def later():\n        return 8",
    ),
    "definition in a loop": ("far.seen()", "for later in ():\n    pass\nelse:\n    def later():\n        return 9"),
    "function of a special name": ("getattr(far, 'missing', 0)", "def __getattr__(name):\n    return 10 if name == 'missing' else 0"),
    "wildcard match of all names with a prefix": ("[n for n in far.__dict__ if n.startswith('job_')]", "def job_a():\n    return 1"),
    "class that extends the one whose name it takes": (
        "[n for n in dir(far.Jobs) if n.startswith('job_')]",
        "class Jobs(Jobs):\n    def job_b(self):\n        return 1",
    ),
    "class found through gc": (
        "sum(isinstance(o, type) and o.__module__ == 'data.far' for o in gc.get_objects())",
        "class Unused:\n    pass",
    ),
    "counter in a default": ("next(far.COUNTER)", "def unused(n=next(COUNTER)):\n    return n"),
    "tests that a library loads": (
        "unittest.defaultTestLoader.loadTestsFromName('data.far').countTestCases()",
        "class Tests(unittest.TestCase):\n    def test_a(self):\n        pass",
    ),
}


def added(what: str, how: str, text: str) -> Program:
    """A program to whose module a definition is added."""
    return program(
        f"""
import argparse, gc, unittest, yaml
from data import far
def work():
    return {how}
--- far.py
import abc
import argparse
import itertools
import unittest
import yaml
ORDER = [0]
COUNTER = itertools.count()
class Shape(abc.ABC):
    pass
class Jobs:
    pass
class far_field:
    def __set_name__(self, owner, name):
        ORDER.append(owner.__name__ + name)
def later():
    return 0
def seen():
    return later()
END = 1
--- effects.py
from data import far
far.ORDER.append("effect")
""",
        edit(f"added: {what}", "far.py", AFTER, f"\n{text}{AFTER}"),
    )


# A class or function made by a call: what far.py says; what near.py returns; an edit of it.
MADE = {
    "namedtuple": ('Made = collections.namedtuple("Made", "a b")', "far.Made(1, b=2)", '"a b"', '"b a", defaults=[1]'),
    "functional enum": ('Made = enum.Enum("Made", "A B")', "far.Made.B.value", '"A B"', '"B A"'),
    "type() of three arguments": ('Made = type("Made", (dict,), {"f": lambda self: helper()})', "far.Made().f()", "return 1", "return 2"),
    "make_dataclass": ('Made = dataclasses.make_dataclass("Made", [("x", int, 1)])', "far.Made().x", "int, 1", "int, 2"),
    "cached property": (
        "class Made:\n    @functools.cached_property\n    def x(self):\n        return helper()",
        "far.Made().x",
        "return 1",
        "return 2",
    ),
    "generator made by a module and consumed later": ("made = (helper() + n for n in range(2))", "list(far.made)", "return 1", "return 2"),
    "expression of such a generator": ("made = (helper() + n for n in range(2))", "list(far.made)", "+ n", "- n"),
    "comparison behind cmp_to_key": (
        "def made(a, b):\n    return a - b",
        "sorted([1, 2], key=functools.cmp_to_key(far.made))",
        "a - b",
        "b - a",
    ),
    "replacement of a regex": ("def made(found):\n    return found[0] * 2", "re.sub('a', far.made, 'banana')", "* 2", "* 3"),
    "adapter of a database": (
        "class Made:\n    pass\nsqlite3.register_adapter(Made, lambda made: helper())",
        "sqlite3.connect(':memory:').execute('select ?', [far.Made()]).fetchall()",
        "return 1",
        "return 2",
    ),
    "aggregate of a database": (
        "class Made:\n    def __init__(self):\n        self.n = 0\n    def step(self, n):\n        self.n += n\n"
        "    def finalize(self):\n        return self.n",
        "(lambda d: (d.create_aggregate('f', 1, far.Made), d.execute('select f(3)').fetchall()))(sqlite3.connect(':memory:'))[1]",
        "self.n += n",
        "self.n -= n",
    ),
    "callback of C": ("def made(n):\n    return n + 1", "ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(far.made)(3)", "n + 1", "n + 2"),
    "universal function": ("made = numpy.frompyfunc(lambda n: helper() + n, 1, 1)", "far.made([1]).tolist()", "return 1", "return 2"),
    "error class and its base": ("class Made(ValueError):\n    pass", "caught(far.Made)", "(ValueError)", "(KeyError)"),
    "__future__ that makes texts of annotations": (
        "class Made:\n    x: int",
        "far.Made.__annotations__",
        "import collections",
        "from __future__ import annotations\nimport collections",
    ),
    "slots": ("class Made:\n    __slots__ = 'x', '__dict__'", "caught(lambda: setattr(far.Made(), 'y', 1))", ", '__dict__'", ","),
    "limit of the interpreter": ("sys.set_int_max_str_digits(700)", "caught(lambda: int('1' * 800) and KeyError())", "700", "900"),
    "module replaced by an object": ("class Made:\n    x = 1\nsys.modules[__name__] = Made()", "far.x", "x = 1", "x = 2"),
    "class of a module": (
        "class Made(types.ModuleType):\n    @property\n    def x(self):\n        return helper()\nsys.modules[__name__].__class__ = Made",
        "far.x",
        "return 1",
        "return 2",
    ),
    "format with a nested width": ("WIDTH = 5", "f'{1:>{far.WIDTH}}'", "WIDTH = 5", "WIDTH = 6"),
    "name rebound by a function": ("def reset():\n    global helper\n    helper = other\nreset()", "far.helper()", "return 3", "return 4"),
    "loop of setattr": (
        "for n in range(2):\n    setattr(sys.modules[__name__], f'run_{n}', helper)",
        "far.run_1()",
        "return 1",
        "return 2",
    ),
}


def made(what: str, text: str, how: str, old: str, new: str) -> Program:
    """A program of which a module makes something."""
    return program(
        f"""
import ctypes, functools, re, sqlite3
from data import far
def caught(act):
    try:
        raise act()
    except ValueError as error:
        return "value"
    except KeyError:
        return "key"
    except TypeError:
        return "type"
    except AttributeError:
        return "attribute"
def work():
    return {how}
--- far.py
import collections
import dataclasses, enum, functools, sqlite3, sys, types
import numpy
def helper():
    return 1
def other():
    return 3
def never():
    return 0
{text}
""",
        edit(f"made by a call: {what}", "far.py", old, new),
        *([edit(f"unused function beside {what}", "far.py", "return 0", "return -1", QUIET)] if len(what) % 4 == 0 else []),
    )


PROGRAMS = (
    *(added(what, how, text) for what, (how, text) in ADDED.items()),
    *(made(what, *how) for what, how in MADE.items()),
)

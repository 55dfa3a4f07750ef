"""Names looked up while a program runs: by text, by a library, by way of a module's or a frame's dictionary, in source itself."""

from __future__ import annotations

from tests.identity.edits.case import EFFECTLESS, QUIET, Program, add, edit, program

# What finds a function of far.py, `run_b` unless said otherwise, without a word that names it in code.
BY_NAME = {
    "getattr with a name put together": "getattr(far, 'run_' + KIND)()",
    "vars(module)": "vars(far)['run_' + KIND]()",
    "a module's __dict__ by another way": "object.__getattribute__(far, '__dict__')['run_' + KIND]()",
    "operator.attrgetter under another name": "fetch('run_' + KIND)(far)()",
    "operator.methodcaller": "call('run_' + KIND)(far)",
    "sys.modules": "getattr(sys.modules['data.' + 'far'], 'run_' + KIND)()",
    "import_module by a name put together": "getattr(importlib.import_module('data.' + 'fa' + 'r'), 'run_' + KIND)()",
    "__globals__ of a function": "far.run_a.__globals__['run_' + KIND]()",
    "globals of a caller's frame": "far.run_a(sys._getframe, 'run_' + KIND)",
    "eval of a text": "eval('run_' + KIND + '()', far.__dict__)",
    "inspect.getmembers": "dict(inspect.getmembers(far))['run_' + KIND]()",
    "functools.reduce(getattr)": "functools.reduce(getattr, ['far', 'run_' + KIND], data)()",
    "pkgutil.resolve_name": "pkgutil.resolve_name('data.far:run_' + KIND)()",
    "a pickle": "pickle.loads(b'cdata.far\\nrun_' + KIND.encode() + b'\\n.')()",
    "a template": "jinja2.Template('{{ far.run_' + KIND + '() }}').render(far=far)",
    "timeit": "(timeit.timeit('out.append(f.run_' + KIND + '())', 'import data.far as f', number=1, globals={'out': OUT}), OUT)[1]",
    "unittest.mock": "mock.patch('data.far.run_' + KIND).get_original()[0]()",
    "pydoc.locate": "pydoc.locate('data.far.run_' + KIND)()",
    "runpy": "runpy.run_module('data.far')['run_' + KIND]()",
    "an attribute of the package": "getattr(getattr(data, 'fa' + 'r'), 'run_' + KIND)()",
}


RUN_A = "def run_a():\n    return 0"
RUN_A_OF_FRAME = "def run_a(frame, name):\n    return frame().f_globals[name]()"


def by_name(what: str, how: str) -> Program:
    """A program that finds a function by a name in text."""
    return program(
        f"""
import functools, importlib, inspect, jinja2, pickle, pkgutil, pydoc, runpy, sys, timeit
from operator import attrgetter as fetch, methodcaller as call
from unittest import mock
import data
from data import far, apart
OUT = []
KIND = "b"
def work():
    return {how}, apart.run_a()
--- far.py
{RUN_A_OF_FRAME if "_getframe" in how else RUN_A}
def run_b():
    return 1
--- apart.py
def run_a():
    return 2
def run_c():
    return 3
""",
        edit(f"body of a function found by {what}", "far.py", "return 1", "return 4"),
        edit(f"function hidden from {what} by a later one", "far.py", "return 1\n", "return 1\nrun_b = lambda: 6\n"),
        edit(f"plain function of a module not looked into by {what}", "apart.py", "return 3", "return 7", QUIET),
    )


# What of far.py a program returns; an edit there that has no name in common with it; whether it changes what is returned.
WHOLE = {
    "names of a module": ("sorted(name for name in vars(far) if name[0] != '_')", "def spare", "def more():\n    return 1\ndef spare"),
    "dir of a module": ("[name for name in dir(far) if name[0] != '_']", "class Room", "class Hall:\n    pass\nclass Room"),
    "count of a module's functions": (
        "len(inspect.getmembers(far, inspect.isfunction))",
        "def spare",
        "def more():\n    return 1\ndef spare",
    ),
    "classes of a module": (
        "sorted(v.__name__ for v in far.__dict__.values() if isinstance(v, type))",
        "class Room",
        "class Hall:\n    pass\nclass Room",
    ),
    "source of a function": ("inspect.getsource(far.spare)", "return 2", "return 2  # why"),
    "source of a module, as a file": ("Path(far.__file__).read_text()", "return 2", "return 2  # why"),
    "source of a module, from its loader": ("far.__spec__.loader.get_source('data.far')", "return 2", "return 2  # why"),
    "line of a function": ("far.spare.__code__.co_firstlineno", "def spare", "# A comment.\ndef spare"),
    "line that runs": ("far.line()", "def spare", "# A comment.\ndef spare"),
    "line of a traceback": ("far.failing()", "def spare", "# A comment.\ndef spare"),
    "comment before a function": ("inspect.getcomments(far.spare)", "def spare", "# A comment.\ndef spare"),
    "docstring of a module": ("far.__doc__", "import sys", "'''Read texts.'''\nimport sys"),
    "docstring of a function": ("inspect.getdoc(far.spare)", "    return 2", "    'Do nothing.'\n    return 2"),
    "docstring as help": (
        "argparse.ArgumentParser('x', description=far.spare.__doc__).format_help()",
        "    return 2",
        "    'Do nothing.'\n    return 2",
    ),
    "docstring of a class in a schema": (
        "far.Model.model_json_schema()",
        "class Model(pydantic.BaseModel):",
        "class Model(pydantic.BaseModel):\n    'A model.'",
    ),
    "doctest": ("doctest.testmod(far).attempted", "    return 2", "    '>>> 1'\n    return 2"),
    "annotations of a function": ("typing.get_type_hints(far.spare)", "def spare():", "def spare() -> int:"),
    "signature of a function": ("str(inspect.signature(far.spare))", "def spare():", "def spare() -> int:"),
    "literal read from an annotation": ("typing.get_args(typing.get_type_hints(far.kind)['k'])", '"a", "b"', '"a", "c"'),
    "fields from annotations of a class": ("list(far.Room.__annotations__)", "class Room:", "class Room:\n    deep: int"),
    "schema of a function's annotations": (
        "pydantic.create_model('M', **{k: (t, ...) for k, t in typing.get_type_hints(far.kind).items()}).model_json_schema()",
        '"a", "b"',
        '"a", "c"',
    ),
    "annotation of a database's function": (
        "duckdb.connect().create_function('f', far.one).sql('select typeof(f(1))').fetchall()",
        "n: int) -> int",
        "n: int) -> str",
    ),
    "local names of a function": ("far.spare.__code__.co_varnames", "return 2", "x = 2; return x"),
    "bytes of a function's code": ("far.spare.__code__.co_code", "return 2", "return [2]"),
}


LINE = "def line():\n    return sys._getframe().f_lineno"
FAILING = (
    "def failing():\n    try:\n        raise ValueError\n    except ValueError as error:\n        return error.__traceback__.tb_lineno"
)


def whole(what: str, how: str, old: str, new: str) -> Program:
    """A program that returns what a module says of itself."""
    lines = LINE if "line()" in how else FAILING if "failing()" in how else ""
    imports = "\n".join(
        f"import {name}" for name in ("argparse", "doctest", "duckdb", "inspect", "pydantic", "typing") if f"{name}." in how
    )
    return program(
        f"""
{imports}
from pathlib import Path
from data import far
def work():
    return {how}
--- far.py
import sys
from typing import Literal
import pydantic
class Room:
    wide: int = 1
class Model(pydantic.BaseModel):
    wide: int = 1
def spare():
    return 2
{lines}
def kind(k: Literal["a", "b"]):
    return k
def one(n: int) -> int:
    return n
--- aside.py
LIMIT = 1
""",
        edit(what, "far.py", old, new),
    )


PROGRAMS = (
    *(by_name(what, how) for what, how in BY_NAME.items()),
    *(whole(what, how, old, new) for what, (how, old, new) in WHOLE.items()),
    program(
        """
import duckdb, pandas
from data import far
LIMIT = 2
rows = pandas.DataFrame({"a": [1, 2, 3]})
def work():
    found = rows.query("a >= @LIMIT and a < @far.top()")
    added = rows.eval("b = a * @far.scale")["b"]
    return found["a"].tolist(), added.tolist(), far.joined(), far.mapped(rows)
--- far.py
import duckdb, pandas
scale = 2
other = pandas.DataFrame({"a": [3, 4]})
class Frame(pandas.DataFrame):
    def spare(self):
        return 1
def top():
    return 9
def unused():
    return other
def joined():
    return duckdb.sql("select sum(a) from other").fetchall()
def double(value):
    return value * 2
def mapped(rows):
    return rows.agg({"a": ["sum"]}).iloc[0, 0] + rows["a"].map(double).sum()
""",
        edit("constant that a frame's query reads", "near.py", "LIMIT = 2", "LIMIT = 3"),
        edit("function that a frame's query calls", "far.py", "return 9", "return 3"),
        edit("constant that a frame's eval reads", "far.py", "scale = 2", "scale = 3"),
        edit("table that a query finds by its variable's name", "far.py", "[3, 4]", "[3, 5]"),
        edit(
            "variable found first by a query",
            "far.py",
            "    return duckdb.sql",
            "    other = pandas.DataFrame({'a': [0]})\n    return duckdb.sql",
        ),
        edit("function that a column maps", "far.py", "value * 2", "value * 3"),
    ),
    program(
        """
import jinja2
from data.far import Room, shout, PAGE
def work():
    page = jinja2.Environment()
    page.filters["shout"] = shout
    page.tests["large"] = lambda room: room.large()
    return page.from_string(PAGE).render(room=Room()), "{0.area:>4}|{0.name[0]}|{0!r}".format(Room()), "{deep}".format_map(Missing())
class Missing(dict):
    def __missing__(self, key):
        return key * 2
--- far.py
PAGE = "{{ room.area }} {{ room }} {{ room.name | shout }} {{ room.extra }} {% if room is large %}L{% endif %}"
class Room:
    name = "hall"
    @property
    def area(self):
        return 6
    def large(self):
        return self.area > 5
    def __getitem__(self, key):
        return key
    def __repr__(self):
        return "Room"
    def never(self):
        return self.name
def shout(text):
    return text.upper()
def whisper(text):
    return text.lower()
""",
        edit("property that a template reads", "far.py", "return 6", "return 7"),
        edit("filter of a template", "far.py", "upper()", "title()"),
        edit("test of a template", "far.py", "> 5", "> 6"),
        edit("attribute that a template finds before an item", "far.py", "    def never", "    extra = 9\n    def never"),
        edit("__html__ and __str__ added", "far.py", "    def never", "    def __str__(self):\n        return 'str'\n    def never"),
        edit("__missing__ of what a format maps", "near.py", "key * 2", "key * 3"),
        edit("text of a template", "far.py", "L{% endif", "XL{% endif"),
        edit("method that a template doesn't name", "far.py", "return self.name\n", "return self.area\n", EFFECTLESS),
    ),
    program(
        """
from data.far import load
def work():
    return load()
--- far.py
import importlib, json
from pathlib import Path
def load():
    named = json.loads(Path(__file__).with_name("plugins.json").read_text())
    return [getattr(importlib.import_module(f"data.plugins.{each}"), named[each])() for each in sorted(named)]
--- plugins/__init__.py
--- plugins/one.py
def go():
    return 1
def halt():
    return 2
--- plugins/two.py
def go():
    return 3
--- plugins.json
{"one": "go"}
""",
        edit("plugin that a data file names", "plugins/one.py", "return 1", "return 4"),
        edit("function of a plugin that a data file names", "plugins.json", '"go"', '"halt"'),
        edit("plugin added to the data file", "plugins.json", '"go"', '"go", "two": "go"'),
        edit("plugin that no data file names", "plugins/two.py", "return 3", "return 5", QUIET),
        add("plugin added that no data file names", "plugins/three.py", "def go():\n    return 1\n", QUIET),
    ),
    program(
        """
import copyreg, pickle, copy
from data.far import Room, Hall
def work():
    room = pickle.loads(pickle.dumps(Room(2)))
    return room.size, copy.copy(Room(3)).size, copy.deepcopy(Hall()).size, pickle.loads(pickle.dumps(Hall())).size
--- far.py
import copyreg
class Room:
    def __init__(self, size):
        self.size = size
    def __reduce__(self):
        return "build_room" if self.size == 5 else (build, (self.size,))
class Hall:
    size = 7
    def spare(self):
        return 0
def build(size):
    return Room(size + 1)
def pack(hall):
    return unpack, (8,)
def unpack(size):
    hall = Hall()
    hall.size = size
    return hall
copyreg.pickle(Hall, pack)
""",
        edit("function by which an object is pickled", "far.py", "size + 1", "size + 2"),
        edit("reducer in the table of a library", "far.py", "(8,)", "(9,)"),
        edit("function that a reducer names", "far.py", "hall.size = size", "hall.size = -size"),
        edit("__copy__ added", "far.py", "    def __reduce__", "    def __copy__(self):\n        return Room(0)\n    def __reduce__"),
        edit(
            "__deepcopy__ added",
            "far.py",
            "    def spare",
            "    def __deepcopy__(self, memo):\n        self.size = 0\n        return self\n    def spare",
        ),
        edit(
            "__setstate__ added, which nothing calls",
            "far.py",
            "    def spare",
            "    def __setstate__(self, state):\n        self.size = 0\n    def spare",
            EFFECTLESS,
        ),
    ),
)

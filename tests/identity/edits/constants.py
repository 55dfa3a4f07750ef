"""Statements of a module: whatever ran when it was imported may have made a value what it is."""

from __future__ import annotations

from tests.identity.edits.case import EFFECTLESS, QUIET, Program, add, edit, program

# A statement of far.py that changes ROWS, an array, a buffer or an object in place; each has a 3, which becomes a 4.
IN_PLACE = {
    "random.shuffle": "random.Random(3).shuffle(ROWS)",
    "heapq.heappush": "heapq.heappush(ROWS, 3)",
    "bisect.insort": "bisect.insort(ROWS, 3)",
    "operator.setitem": "operator.setitem(ROWS, 0, 3)",
    "a method of the type": "list.append(ROWS, 3)",
    "a method's special name": "ROWS.__setitem__(0, 3)",
    "map that is consumed": "list(map(ROWS.append, [3]))",
    "a comprehension": "[ROWS.append(n) for n in (3,)]",
    "any() of a generator": "any(ROWS.append(n) for n in (3,))",
    "a lambda called at once": "(lambda: ROWS.append(3))()",
    "a slice": "ROWS[:1] = [3]",
    "del of an item": "ROWS.extend(range(9)); del ROWS[3]",
    "a chain of names": "a = b = ROWS; b.append(3)",
    "a tuple of names": "a, (b, c) = 1, (ROWS, 2); b.append(3)",
    "functools.reduce": "functools.reduce(lambda rows, n: rows.append(n) or rows, [3], ROWS)",
    "a finally": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass\nfinally:\n    ROWS.append(3)",
    "a with": "with contextlib.nullcontext(ROWS) as rows:\n    rows.append(3)",
    "np.copyto": "numpy.copyto(CELLS, 3)",
    "np.put": "numpy.put(CELLS, [0], 3)",
    "np.random into an array": "numpy.random.default_rng(3).random(out=CELLS)",
    "a ufunc's at": "numpy.add.at(CELLS, [0, 0], 3)",
    "struct.pack_into": "struct.pack_into('i', BUFFER, 0, 3)",
    "a view of memory": "memoryview(BUFFER)[1] = 3",
    "object.__setattr__": "object.__setattr__(ROOM, 'size', 3)",
    "vars(object)": "vars(ROOM)['size'] = 3",
    "ctypes": "ctypes.memset((ctypes.c_char * 8).from_buffer(BUFFER), 3, 2)",
    "a function of ours elsewhere": "fill(ROWS, 3)",
    "a class of ours elsewhere": "Filler(ROWS)(3)",
    "a decorator as a call": "filling(3)(ROWS)",
    "a generator advanced": "pump = pumping(ROWS); next(pump); pump.send(3)",
    "a thread": "thread = threading.Thread(target=ROWS.append, args=(3,)); thread.start(); thread.join()",
    "a keyword argument": "dict(into=ROWS)['into'].append(3)",
    "print into an object": "print(3, file=TEXT)",
    "a file object": "json.dump(3, TEXT)",
}


def in_place(what: str, statement: str) -> Program:
    """A program of which a module changes a value that it made before."""
    return program(
        f"""
from data import far
def work():
    return far.ROWS, far.CELLS.tolist(), bytes(far.BUFFER), far.ROOM.size, far.TEXT.getvalue()
--- far.py
import bisect, contextlib, ctypes, functools, heapq, io, json, operator, random, struct, threading
import numpy
from data.deep import Filler, fill, filling, pumping
ROWS = [1, 2, 5, 7]
CELLS = numpy.zeros(2)
BUFFER = bytearray(8)
TEXT = io.StringIO()
class Room:
    size = 1
ROOM = Room()
{statement}
--- deep.py
def fill(rows, n):
    rows.append(n)
class Filler:
    def __init__(self, rows):
        self.rows = rows
    def __call__(self, n):
        self.rows.append(n)
def filling(n):
    return lambda rows: rows.append(n)
def pumping(rows):
    while True:
        rows.append((yield))
""",
        edit(f"changed in place by {what}", "far.py", statement, statement.replace("3", "4", 1)),
    )


PROGRAMS = (
    *(in_place(what, statement) for what, statement in IN_PLACE.items()),
    program(
        """
from data.middle import BUDGET
def work():
    return BUDGET
--- middle.py
from data.far import LIMIT, spare as reserve
BUDGET = LIMIT * 2
def unused():
    return reserve(BUDGET)
--- far.py
LIMIT = 3
def spare(budget):
    return budget - 1
""",
        edit("constant of a constant of another module", "far.py", "LIMIT = 3", "LIMIT = 4"),
        edit("factor in the module between", "middle.py", "* 2", "* 3"),
        edit("body of a function that only an unused one calls", "far.py", "budget - 1", "budget - 2", QUIET),
        edit("same number written otherwise", "far.py", "LIMIT = 3", "LIMIT = 0x3", QUIET),
        edit("unused function added after the constant", "far.py", "def spare", "def other():\n    return 5\ndef spare", QUIET),
    ),
    program(
        """
from data import far
import data.tuning
def work():
    return far.TABLE["step"], far.ROWS
--- tuning.py
import data.far as settings
table = settings.TABLE
table["step"] += 1
for row in range(2):
    settings.ROWS.append(row)
--- far.py
TABLE = {"step": 1}
ROWS = []
""",
        edit("augmented assignment through an alias in a module imported for its effect", "tuning.py", "+= 1", "+= 2"),
        edit("loop of a module imported for its effect", "tuning.py", "range(2)", "range(3)"),
        edit("import for effect dropped", "near.py", "import data.tuning\n", ""),
        edit("effect of the effect: alias to another table", "tuning.py", "settings.TABLE", "dict(settings.TABLE)"),
    ),
    program(
        """
import numpy as np
from data.far import WEIGHTS, widen
def work():
    return WEIGHTS.tolist()
--- far.py
import numpy as np
WEIGHTS = np.arange(6.0).reshape(2, 3)
WEIGHTS[0, 1] = 7
WEIGHTS *= 2
np.clip(WEIGHTS, 0, 9, out=WEIGHTS)
np.fill_diagonal(WEIGHTS, -1)
view = WEIGHTS.T
view[2][0] = 5
def widen(weights):
    return np.tile(weights, 2)
""",
        edit("cell of an array set", "far.py", "[0, 1] = 7", "[0, 2] = 7"),
        edit("array scaled in place", "far.py", "*= 2", "*= 3"),
        edit("out= of a ufunc", "far.py", "0, 9, out", "0, 8, out"),
        edit("a library's function that changes its argument", "far.py", ", -1)", ", -2)"),
        edit("array changed through a view", "far.py", "= 5", "= 6"),
        edit("body of an imported function that never runs", "far.py", "weights, 2", "weights, 3", QUIET),
    ),
    program(
        """
from data.far import *
def work():
    return size, first, rest, label, sorted(kinds), found, low
--- far.py
import re
numbers = [4, 2, 9]
numbers.sort()
first, *rest = numbers
if (size := len(numbers)) > 2:
    label = "long"
else:
    label = "short"
kinds = {"a"}
kinds |= {"b"}
WORD = re.compile(r"[a-z]+")
found = WORD.findall("one Two")
try:
    import absent_library_of_ours
except ImportError:
    low = 1
else:
    low = 2
_private = 3
del numbers
""",
        edit("list sorted in place the other way", "far.py", "sort()", "sort(reverse=True)"),
        edit("branch that was taken", "far.py", '"long"', '"longer"'),
        edit("threshold of a module's if", "far.py", "> 2", "> 3"),
        edit("set extended by |=", "far.py", '|= {"b"}', '|= {"c"}'),
        edit("regex of a module", "far.py", "[a-z]+", "[a-zA-Z]+"),
        edit("fallback of a failed import", "far.py", "low = 1", "low = 0"),
        edit("the module that failed to import appears", "far.py", "import absent_library_of_ours", "import colorsys"),
        edit("private name that a star leaves out", "far.py", "_private = 3", "_private = 4", EFFECTLESS),
        edit(
            "__all__ added: a star import brings less",
            "far.py",
            "import re\n",
            "import re\n__all__ = ['size', 'first', 'rest', 'label', 'kinds', 'found']\n",
        ),
        edit("name deleted that the program needs", "far.py", "del numbers", "del numbers, low"),
    ),
    program(
        """
import data.setup
import random, decimal, os, warnings, json, numpy as np
def work():
    with np.errstate():
        thrice = [random.random() for _ in range(2)]
    return thrice, str(decimal.Decimal(1) / 3), os.environ["ROOM_MODE"], json.dumps({"a": {1}}, default=list), np.geterr()["divide"]
--- setup.py
import decimal, os, random
import numpy as np
random.seed(3)
decimal.getcontext().prec = 5
os.environ["ROOM_MODE"] = "fast"
np.seterr(divide="ignore")
print("ready")
""",
        edit("seed of the library's generator", "setup.py", "seed(3)", "seed(4)"),
        edit("precision of the library's context", "setup.py", "prec = 5", "prec = 6"),
        edit("variable of the environment", "setup.py", '"fast"', '"slow"'),
        edit("error state of numpy", "setup.py", '"ignore"', '"warn"'),
        edit("what a module prints", "setup.py", '"ready"', '"set"', EFFECTLESS),
    ),
    program(
        """
import data.setup
def work():
    return LIMIT
--- setup.py
import builtins
builtins.LIMIT = 3
""",
        edit("builtin planted", "setup.py", "LIMIT = 3", "LIMIT = 4"),
    ),
    program(
        """
from data import far
def work():
    return far.X, far.Y, far.Z, far.order, far.grown, far.Room.size
--- far.py
import heapq, sys
setattr(sys.modules[__name__], "X", 3)
globals()["Y"] = 4
exec("Z = 5")
order = [5, 1, 4]
heapq.heapify(order)
add = order.append
add(9)
grown = [lambda scale=scale: scale * 2 for scale in (1, 2)]
grown = [each() for each in grown]
class Room:
    size = 1
Room.size += 3
""",
        edit("setattr on the module", "far.py", '"X", 3', '"X", 4'),
        edit("assignment through globals()", "far.py", '["Y"] = 4', '["Y"] = 5'),
        edit("assignment in a text that is executed", "far.py", "Z = 5", "Z = 6"),
        edit("bound method under another name", "far.py", "add(9)", "add(7)"),
        edit("lambdas in a list", "far.py", "scale * 2", "scale * 3"),
        edit("attribute of a class added to", "far.py", "+= 3", "+= 4"),
    ),
    program(
        """
from data.far import order
def work():
    return order
--- far.py
order = [5, 1, 4]
class Unused:
    order.append(6)
    size = order.pop(0)
def unused(limit=order.append(8)):
    return limit
def unmarked(limit: order.append(2) or int):
    return limit
""",
        edit("body of a class that nothing mentions changes a list", "far.py", "order.append(6)", "order.append(7)"),
        edit("attribute of an unmentioned class takes from a list", "far.py", "pop(0)", "pop(1)"),
        edit("default of an unmentioned function changes a list", "far.py", "append(8)", "append(10)"),
        edit("annotation of an unmentioned function changes a list", "far.py", "append(2)", "append(3)"),
    ),
    program(
        """
from data.far import THRESHOLDS, plan
def work():
    return THRESHOLDS, [step for step in plan("b")]
--- far.py
import itertools
COUNTER = itertools.count(1)
THRESHOLDS = {}
THRESHOLDS["low"] = next(COUNTER)
match THRESHOLDS:
    case {"low": 1}:
        THRESHOLDS["mid"] = 10
    case _:
        THRESHOLDS["mid"] = 20
while len(THRESHOLDS) < 4:
    THRESHOLDS[len(THRESHOLDS)] = next(COUNTER)
assert THRESHOLDS.setdefault("high", 100)
STEPS = {"a": ("read", 1), "b": ("clean", 2)}
def plan(kind):
    name, times = STEPS[kind]
    yield from itertools.repeat(name, times)
""",
        edit("counter begins elsewhere", "far.py", "count(1)", "count(2)"),
        edit("case of a module's match", "far.py", '"mid"] = 10', '"mid"] = 11'),
        edit("end of a module's while", "far.py", "< 4", "< 5"),
        edit("assert that sets a default", "far.py", '"high", 100', '"high", 101'),
        edit("row of a table that a generator reads", "far.py", '"clean", 2', '"clean", 3'),
        add("module added that nobody imports", "extra.py", "LIMIT = 3\n", QUIET),
        edit(
            "counter advanced by a class added that nothing mentions",
            "far.py",
            "THRESHOLDS = {}\n",
            "THRESHOLDS = {}\nclass Unused:\n    number = next(COUNTER)\n",
        ),
    ),
)

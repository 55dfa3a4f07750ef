"""Functions: closures, defaults, decorators, generators, dispatch, and what may be asked of a function that isn't called."""

from __future__ import annotations

from tests.identity.edits.case import EFFECTLESS, QUIET, edit, program

PROGRAMS = (
    program(
        """
from data.far import counter, collect, scaled, cached, spare
def work():
    step = counter(2)
    step()
    return step(), collect(1), collect(2), scaled(3), cached(2), cached(2)
--- far.py
from __future__ import annotations
import functools
from data.deep import memo, offset
CALLS = []
def counter(by):
    total = 0
    def step():
        nonlocal total
        total += by
        return total
    def reset():
        nonlocal total
        total = 0
    return step
def collect(item, into=[]):
    into.append(item)
    return list(into)
@functools.wraps(offset)
def scaled(value, factor=2):
    return value * factor + offset(value)
@memo
def cached(n):
    CALLS.append(n)
    return len(CALLS)
def spare():
    return CALLS.clear()
--- deep.py
def offset(value):
    return value + 1
def memo(function):
    seen = {}
    def wrapper(n):
        if n not in seen:
            seen[n] = function(n)
        return seen[n]
    return wrapper
def memo_twice(function):
    return memo(memo(function))
""",
        edit("closure's step", "far.py", "total += by", "total += by + 1"),
        edit("mutable default begins with something", "far.py", "into=[]", "into=[0]"),
        edit("keyword default", "far.py", "factor=2", "factor=3"),
        edit("helper's helper", "deep.py", "value + 1", "value + 2"),
        edit("decorator's wrapper forgets", "deep.py", "if n not in seen", "if True"),
        edit("decorator removed", "far.py", "@memo\n", ""),
        edit("inner function that isn't called", "far.py", "total = 0\n    return step", "total = 1\n    return step", EFFECTLESS),
        edit("imported function that isn't called", "far.py", "CALLS.clear()", "CALLS.copy()", QUIET),
        edit("decorator that nothing uses", "deep.py", "memo(memo(function))", "memo(function)", QUIET),
        edit("annotations of a function", "far.py", "def counter(by):", "def counter(by: int) -> Callable[[], int]:", QUIET),
        edit(
            "annotations of a function that a decorator copies",
            "deep.py",
            "def offset(value):",
            "def offset(value: int) -> int:",
            EFFECTLESS,
        ),
        edit("annotation of a local variable", "far.py", "    total = 0\n    def step", "    total: int = 0\n    def step", QUIET),
        edit("docstring of a function", "deep.py", "    return value + 1", '    """Move by one."""\n    return value + 1', QUIET),
        edit(
            "unused private function added in between",
            "deep.py",
            "def memo(f",
            "def _shift(value):\n    return offset(value) + 7\ndef memo(f",
            QUIET,
        ),
    ),
    program(
        """
from data.far import describe, measure
from data import kinds
def work():
    return describe(3), describe("x"), describe([1]), measure(2)
--- far.py
from functools import partial, singledispatch
@singledispatch
def describe(thing):
    return "thing"
@describe.register
def _(thing: int):
    return "number"
@describe.register
def _(thing: list):
    return "list"
def power(base, exponent, shift):
    return base**exponent + shift
square = partial(power, exponent=2)
measure = partial(square, shift=1)
--- kinds.py
from data.far import describe
@describe.register(str)
def _(thing):
    return "text"
""",
        edit("implementation registered in a module imported for effect", "kinds.py", '"text"', '"word"'),
        edit("type of an implementation, said by its annotation", "far.py", "thing: int", "thing: str"),
        edit("partial of a partial", "far.py", "exponent=2", "exponent=3"),
        edit("keyword of the outer partial", "far.py", "shift=1", "shift=2"),
        edit(
            "registration for a type added elsewhere",
            "kinds.py",
            "import describe\n",
            "import describe\n@describe.register(bool)\ndef _(thing):\n    return 'truth'\n"
            "@describe.register(int)\ndef _(thing):\n    return 'whole'\n",
        ),
        edit("fallback implementation that isn't reached", "far.py", '"thing"', '"object"', QUIET),
    ),
    program(
        """
import inspect
from data import far
def work():
    made = far.rows()
    waiting = far.later()
    waiting.close() if hasattr(waiting, "close") else None
    return type(made).__name__, type(waiting).__name__
--- far.py
def rows():
    yield 1
async def later():
    return 2
""",
        edit("generator never iterated becomes a function", "far.py", "yield 1", "return 1"),
        edit("coroutine never awaited becomes a function", "far.py", "async def", "def"),
        edit("generator never iterated yields more", "far.py", "yield 1", "yield 1; yield 2", EFFECTLESS),
    ),
    program(
        """
import inspect
from data.far import plan, other
def work():
    return inspect.isgeneratorfunction(plan), inspect.iscoroutinefunction(other), plan.__code__.co_consts
--- far.py
def plan(size):
    if size > 5:
        return 3
    return None
def other():
    return 2
""",
        edit("function only asked whether it is a generator gets a yield", "far.py", "return None", "yield 3"),
        edit("constant of a function of which only the code object is read", "far.py", "return 3", "return 4"),
    ),
    program(
        """
import types
from data import far, swap
def work():
    fresh = types.FunctionType(far.late.__code__, {"LIMIT": 10})
    return far.current(), fresh()
--- far.py
LIMIT = 1
def current():
    return 1
def late():
    return LIMIT + 1
def early():
    return LIMIT + 2
--- swap.py
from data import far
far.current.__code__ = far.early.__code__
""",
        edit("code of another function put into one", "far.py", "LIMIT + 2", "LIMIT + 3"),
        edit("function made of another's code", "far.py", "LIMIT + 1", "LIMIT + 4"),
        edit("other code object taken", "swap.py", "early", "late"),
        edit("body that was replaced before it ran", "far.py", "return 1\n", "return 5\n", EFFECTLESS),
    ),
    program(
        """
import asyncio
from data.far import main
def work():
    return asyncio.run(main())
--- far.py
import contextlib, contextvars
DEPTH = contextvars.ContextVar("DEPTH", default=1)
@contextlib.asynccontextmanager
async def deeper(by):
    token = DEPTH.set(DEPTH.get() + by)
    try:
        yield DEPTH.get()
    finally:
        DEPTH.reset(token)
async def steps(count):
    for step in range(count):
        yield step * 2
async def main():
    async with deeper(2) as depth:
        found = [step async for step in steps(3)]
        inside = depth, DEPTH.get()
    return found, inside, DEPTH.get(), await last()
async def last():
    return 7
async def never():
    return await last()
""",
        edit("asynchronous generator", "far.py", "step * 2", "step * 3"),
        edit("asynchronous context manager", "far.py", "DEPTH.get() + by", "DEPTH.get() * by"),
        edit("default of a context variable", "far.py", "default=1", "default=2"),
        edit("what comes after the yield", "far.py", "DEPTH.reset(token)", "pass"),
        edit("awaited function", "far.py", "return 7", "return 8"),
        edit(
            "coroutine function that is never called",
            "far.py",
            "async def never():\n    return",
            "async def never():\n    return 1 +",
            QUIET,
        ),
    ),
    program(
        """
from data.far import choose, total, apply
def work():
    return choose(1), total, apply([3, 1, 2])
--- far.py
import sys
def choose(n):
    return "first"
def choose(n):
    return "second"
if sys.version_info >= (3, 8):
    def pick(items):
        return min(items)
else:
    def pick(items):
        return max(items)
total = 0
def add(n):
    global total
    total += n
for n in range(3):
    add(n)
def apply(items, key=lambda item: -item):
    return sorted(items, key=key), pick(items)
""",
        edit(
            "order of two definitions of one name",
            "far.py",
            'return "first"\ndef choose(n):\n    return "second"',
            'return "second"\ndef choose(n):\n    return "first"',
        ),
        edit("later definition of a name removed", "far.py", 'def choose(n):\n    return "second"\n', ""),
        edit("definition under an if", "far.py", "min(items)", "len(items)"),
        edit("condition of a definition", "far.py", "(3, 8)", "(9, 8)"),
        edit("function that a module calls when imported", "far.py", "total += n", "total += n + 1"),
        edit("lambda as a default", "far.py", "-item", "item"),
        edit("definition in the branch that wasn't taken", "far.py", "max(items)", "sum(items)", QUIET),
        edit("earlier definition, replaced by a later one", "far.py", '"first"', '"old"', QUIET),
        edit("third definition of a name added at the end", "far.py", "def apply", "def pick(items):\n    return 0\ndef apply"),
        edit("definition that hides a builtin", "far.py", "import sys\n", "import sys\ndef sorted(items, key):\n    return items\n"),
    ),
    program(
        """
import signal, threading, weakref, gc, sys, atexit
from data import far
def work():
    room = far.Room()
    weakref.finalize(room, far.gone, 1)
    del room
    gc.collect()
    old = signal.signal(signal.SIGUSR1, far.on_signal)
    signal.raise_signal(signal.SIGUSR1)
    thread = threading.Thread(target=far.in_thread, args=(2,))
    thread.start()
    thread.join()
    sys.settrace(None)
    sys.setprofile(None)
    return far.SEEN + [far.after()]
--- far.py
SEEN = []
class Room:
    def __del__(self):
        SEEN.append("deleted")
def gone(n):
    SEEN.append(n)
def on_signal(number, frame):
    SEEN.append("signal")
def in_thread(n):
    SEEN.append(n * 2)
def after():
    return "after"
def never():
    return SEEN
""",
        edit("__del__", "far.py", '"deleted"', '"gone"'),
        edit("callback of a weak reference", "far.py", "append(n)", "append(n + 1)"),
        edit("signal handler", "far.py", '"signal"', '"alarm"'),
        edit("thread's target", "far.py", "n * 2", "n * 3"),
        edit("function that runs when tracing was switched off", "far.py", '"after"', '"later"'),
        edit("function of such a module that never runs", "far.py", "return SEEN", "return list(SEEN)", QUIET),
    ),
    program(
        """
from data.far import steps
def work():
    return steps(4)
--- far.py
import numba
from data.deep import scale
FACTOR = 3
@numba.njit
def inner(n):
    return n * FACTOR
@numba.njit
def steps(n):
    return inner(n) + scale(n)
@numba.njit
def other(n):
    return n
--- deep.py
import numba
def plain(n):
    return n + 1
scale = numba.njit(plain)
""",
        edit("body of a compiled function", "far.py", "inner(n) + scale", "inner(n) - scale"),
    ),
)

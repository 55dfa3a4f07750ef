"""Words: messages, docstrings, comments and layout, which give nothing unless something reads them."""

from __future__ import annotations

from tests.identity.edits.case import EFFECTLESS, QUIET, Program, edit, program

# How a message's words come into what is returned: what near.py does, what far.py says, the edit.
READ = {
    "handler on the root reads a child's message": (
        "logging.getLogger().addHandler(far.Keep())",
        'LOG.warning("read %d", 3)',
        "read",
        "saw",
    ),
    "filter reads a message": ("far.LOG.addFilter(far.keep)", 'LOG.warning("read %d", 3)', "read", "saw"),
    "stream of a handler is returned": ("far.LOG.addHandler(logging.StreamHandler(far.Stream()))", 'LOG.error(f"read {3}")', "read", "saw"),
    "record factory reads a message": ("logging.setLogRecordFactory(far.record)", 'LOG.warning("read")', "read", "saw"),
    "adapter reads a message": ("None", 'far_adapter().warning("read")', "read", "saw"),
    "last resort writes to a caught stream": ("setattr(sys, 'stderr', far.Stream())", 'LOG.warning("read")', "read", "saw"),
    "our own class has a method called info": ("None", 'report.info("read")', "read", "saw"),
    "warning is recorded": ("None", "SEEN.extend(str(w.message) for w in caught('read'))", "read", "saw"),
    "text of an exception is caught": ("None", "SEEN.append(failing('read'))", "read", "saw"),
    "message calls a function": ("None", 'LOG.debug("read %s", SEEN.append(1))', "append(1)", "append(2)"),
    "message is computed by an f-string": ("None", 'LOG.debug(f"read {SEEN.append(1)}")', "append(1)", "append(2)"),
    "argument of a message has a __str__": ("None", 'LOG.warning("%s", Loud())', '"%s", Loud()', '"%s %s", Loud(), Loud()'),
    "level of a logger": ("far.LOG.addHandler(far.Keep())", 'LOG.setLevel("ERROR"); LOG.warning("read")', '"ERROR"', '"INFO"'),
    "name of a logger": ("logging.getLogger('a').addHandler(far.Keep())", 'logging.getLogger("b").warning("read")', '"b"', '"a.b"'),
    "print is redirected": ("setattr(sys, 'stdout', far.Stream())", 'print("read")', "read", "saw"),
}


def read(what: str, setup: str, said: str, old: str, new: str) -> Program:
    """A program in which something reads what another part says."""
    return program(
        f"""
import logging, sys
from data import far
def work():
    old = sys.stdout, sys.stderr
    {setup}
    far.go()
    sys.stdout, sys.stderr = old
    return far.SEEN
--- far.py
import logging
import warnings
LOG = logging.getLogger("rooms.deep")
SEEN = []
class Keep(logging.Handler):
    def emit(self, record):
        SEEN.append(record.getMessage())
def keep(record):
    SEEN.append(record.msg)
    return True
class Stream:
    def write(self, text):
        SEEN.append(text)
    def flush(self):
        pass
def record(name, level, path, line, message, *rest, **more):
    SEEN.append(message)
    return logging.LogRecord(name, level, path, line, message, *rest, **more)
class Adapter(logging.LoggerAdapter):
    def process(self, message, keywords):
        SEEN.append(message)
        return message, keywords
def far_adapter():
    return Adapter(LOG, {{}})
class Report:
    def info(self, text):
        SEEN.append(text)
report = Report()
def caught(text):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warnings.warn(text)
    return found
def failing(text):
    try:
        raise ValueError(text)
    except ValueError as error:
        return str(error)
class Loud:
    def __str__(self):
        SEEN.append("loud")
        return "loud"
def go():
    {said}
""",
        edit(what, "far.py", old, new) if old in said and old != "read" else edit(what, "far.py", said, said.replace(old, new)),
    )


PROGRAMS = (
    *(read(what, *how) for what, how in READ.items()),
    program(
        '''
"""Work on a text."""
import logging
from data import far
LOG = logging.getLogger(__name__)
def work():
    """Do it."""
    LOG.info("working on %s", "a text")
    LOG.debug("begins")
    total = far.total([1, 2, 3])  # a sum
    LOG.info(f"read {total} rows")
    return total
--- far.py
"""Sums."""
import logging
log = logging.getLogger("data.far")
LIMITS = [1000, 2000]
NAMES = "one" "two"
class Sum:
    """A sum."""
    def __init__(self, items):
        self.items = items
        # Keep the items.
    def value(self):
        return sum(self.items)
def total(items):
    if not items:
        log.warning("nothing to sum")
        raise ValueError("nothing to sum")
    log.info("sums %d items", len(items))
    return Sum(items).value() + helper(1, second=2)
def helper(first, second=0):
    try:
        return first + second
    except TypeError:
        log.exception("not numbers: %r", first)
        raise
''',
        edit("message of a log", "near.py", '"working on %s"', '"now at %s"', QUIET),
        edit("message of a log, an f-string", "near.py", "read {total} rows", "summed {total} rows", QUIET),
        edit(
            "message of a log in a branch that wasn't taken", "far.py", '"nothing to sum")\n        raise', '"empty")\n        raise', QUIET
        ),
        edit("message of an exception's log", "far.py", "not numbers: %r", "no numbers: %r", QUIET),
        edit("message of an exception that isn't raised", "far.py", 'ValueError("nothing to sum")', 'ValueError("empty")', EFFECTLESS),
        edit("docstring of the module that is entered", "near.py", "Work on a text.", "Work on one text.", QUIET),
        edit("docstring of the function that is entered", "near.py", "Do it.", "Do all of it.", QUIET),
        edit("docstring of a class", "far.py", "A sum.", "A sum of items.", QUIET),
        edit("docstring of a module removed", "far.py", '"""Sums."""\n', "", QUIET),
        edit("comment at a line's end", "near.py", "# a sum", "# the sum of all", QUIET),
        edit("comment at a block's end", "far.py", "# Keep the items.", "# Keep them.", QUIET),
        edit("number written with an underscore", "far.py", "1000, 2000", "1_000, 2_000", QUIET),
        edit("list written in several lines, with a last comma", "far.py", "[1000, 2000]", "[\n    1000,\n    2000,\n]", QUIET),
        edit("two texts written as one", "far.py", '"one" "two"', "'onetwo'", QUIET),
        edit("parentheses that change nothing", "far.py", "return first + second", "return (first + second)", QUIET),
        edit(
            "pragmas for tools",
            "far.py",
            "        return sum(self.items)",
            "        return sum(self.items)  # type: ignore[arg-type]  # noqa",
            QUIET,
        ),
        edit("encoding line", "far.py", '"""Sums."""', '# -*- coding: utf-8 -*-\n"""Sums."""', QUIET),
        edit("line ends of Windows", "far.py", "def helper(first, second=0):\n", "def helper(first, second=0):\r\n", QUIET),
        edit("no newline at the end", "far.py", "first)\n        raise\n", "first)\n        raise", QUIET),
        edit("blank lines", "far.py", "def helper", "\n\n\ndef helper", QUIET),
        edit(
            "local variable renamed",
            "near.py",
            "    total = far.total([1, 2, 3])  # a sum",
            "    total = found = far.total([1, 2, 3])",
            EFFECTLESS,
        ),
    ),
)

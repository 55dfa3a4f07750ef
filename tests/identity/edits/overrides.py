"""Methods of a library's class that are found first once they are added: nobody mentions them but the library."""

from __future__ import annotations

from tests.identity.edits.case import QUIET, Program, edit, program

# What stands in a module, what is done with it, the method that is added, and one that the library never calls.
SUBCLASSES = {
    "json.JSONEncoder": ("Told(default=list).encode({'a': [1]})", "def encode(self, thing):\n        return 'told'"),
    "html.parser.HTMLParser": (
        "(lambda p: (p.feed('<b>x</b>'), p.seen))(Told())[1]",
        "def handle_starttag(self, tag, attrs):\n        self.seen.append(tag)",
    ),
    "ast.NodeVisitor": (
        "(lambda v: (v.visit(ast.parse('a + 1')), v.seen))(Told())[1]",
        "def visit_Constant(self, node):\n        self.seen.append(node.value)",
    ),
    "logging.Formatter": ("Told().format(logging.makeLogRecord({'msg': 'x'}))", "def formatMessage(self, record):\n        return 'told'"),
    "string.Formatter": ("Told().format('{0}', 3)", "def format_field(self, value, spec):\n        return 'told'"),
    "threading.Thread": ("(lambda t: (t.start(), t.join(), t.seen))(Told())[2]", "def run(self):\n        self.seen.append(1)"),
    "queue.Queue": ("(lambda q: (q.put(1), q.get()))(Told())[1]", "def _get(self):\n        return 2"),
    "unittest.TestCase": ("unittest.defaultTestLoader.loadTestsFromTestCase(Told).countTestCases()", "def test_more(self):\n        pass"),
    "collections.UserDict": ("Told(a=1).get('b')", "def __missing__(self, key):\n        return 2"),
    "configparser.ConfigParser": (
        "(lambda c: (c.read_string('[a]\\nB=1'), list(c['a'])))(Told())[1]",
        "def optionxform(self, key):\n        return key",
    ),
    "cmd.Cmd": (
        "(lambda c: (c.onecmd('go 1'), c.seen))(Told(stdout=io.StringIO()))[1]",
        "def do_go(self, line):\n        self.seen.append(line)",
    ),
    "random.Random": ("Told(1).randrange(100)", "def random(self):\n        return 0.5"),
    "contextlib.ExitStack": (
        "(lambda s: [s.enter_context(contextlib.nullcontext(1))])(Told())",
        "def enter_context(self, context):\n        return 2",
    ),
    "jinja2.Undefined": ("jinja2.Environment(undefined=Told).from_string('{{ x }}').render()", "def __str__(self):\n        return 'told'"),
    "pickle.Pickler": (
        "(lambda f: (Told(f).dump(print), f.getvalue()))(io.BytesIO())[1]",
        "def reducer_override(self, thing):\n        return (int, ())",
    ),
}


def subclass(base: str, used: str, method: str) -> Program:
    """A program that uses a subclass of a library's class, to which the method is added."""
    return program(
        f"""
import ast, contextlib, io, jinja2, logging, string, unittest
from data.far import Told
def work():
    return {used}
--- far.py
import {base.rpartition(".")[0]}
class Told({base}):
    seen = []
    def spare(self):
        return 1
""",
        edit(f"method of {base} added", "far.py", "    def spare", f"    {method}\n    def spare"),
        edit(f"method that {base} doesn't know", "far.py", "return 1", "return 2", QUIET),
    )


PROGRAMS = tuple(subclass(base, used, method) for base, (used, method) in SUBCLASSES.items())

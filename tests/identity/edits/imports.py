"""Imports: where a name comes from, what is tried first, what is absent, and what is imported only sometimes."""

from __future__ import annotations

from tests.identity.edits.case import EFFECTLESS, QUIET, add, edit, program, remove, rename

PROGRAMS = (
    program(
        """
from data.one import *
from data.two import *
def work():
    return size(), max([1, 2]), shape()
--- one.py
def size():
    return 1
def shape():
    return "one"
--- two.py
__all__ = ["shape"]
def shape():
    return "two"
def spare():
    return 3
--- three.py
from data.one import *
def other():
    return size()
""",
        edit("function added behind a star that hides another star's", "two.py", '__all__ = ["shape"]\n', "def size():\n    return 2\n"),
        edit("name added to __all__", "two.py", '["shape"]', '["shape", "size"]\nsize = lambda: 5'),
        edit("function added behind a star that hides a builtin", "one.py", "def shape", "def max(items):\n    return 0\ndef shape"),
        edit("function that __all__ hides a star's from", "two.py", "return 3", "return 4", QUIET),
        edit("function that the later star replaces", "one.py", '"one"', '"first"', QUIET),
        edit("function added that __all__ doesn't let out", "two.py", "def spare", "def more():\n    return 4\ndef spare", QUIET),
        edit(
            "order of stars", "near.py", "from data.one import *\nfrom data.two import *", "from data.two import *\nfrom data.one import *"
        ),
        remove("module removed that nobody imports", "three.py", QUIET),
        rename("module renamed that nobody imports", "three.py", "four.py", QUIET),
    ),
    program(
        """
from data.pack import best, far
import data.pack
def work():
    import colorsys
    return best(), far, colorsys.rgb_to_hsv(1, 1, 1), data.pack.late, hasattr(data.pack, "hook"), deep()
def deep():
    try:
        from data.pack.override import value
    except ImportError:
        value = 0
    return value
--- pack/__init__.py
from data.pack.inner import best
from data.pack import far
def __getattr__(name):
    if name == "late":
        from data.pack import later
        return later.VALUE
    raise AttributeError(name)
--- pack/inner.py
def best():
    return "inner"
def rest():
    return best()
--- pack/far.py
VALUE = 1
def __dir__():
    return ["VALUE"]
--- pack/later.py
VALUE = 2
""",
        edit("function re-exported by a package", "pack/inner.py", '"inner"', '"deep"'),
        edit("value behind a module's __getattr__", "pack/later.py", "VALUE = 2", "VALUE = 3"),
        edit("name that was missing, before __getattr__ is asked", "pack/__init__.py", "def __getattr__", "late = 9\ndef __getattr__"),
        edit("hook that hasattr asks for", "pack/__init__.py", "def __getattr__", "def hook():\n    pass\ndef __getattr__"),
        add("module that a failed import tried", "pack/override.py", "value = 5\n"),
        add("package that goes before a module of its name", "pack/inner/__init__.py", "def best():\n    return 'package'\n"),
        add("module that goes before one of the library", "/colorsys.py", "def rgb_to_hsv(*rgb):\n    return rgb\n"),
        edit("sibling function that isn't called", "pack/inner.py", "return best()", "return best() * 2", QUIET),
        edit("__dir__ of a module that nothing lists", "pack/far.py", '["VALUE"]', '["VALUE", "x"]', QUIET),
        add("data file beside the modules", "pack/notes.txt", "notes\n", QUIET),
        add("another package", "pack2/__init__.py", "VALUE = 3\n", QUIET),
    ),
    program(
        """
from __future__ import annotations
from typing import TYPE_CHECKING
from data import far
if TYPE_CHECKING:
    from data.shapes import Shape
def work(shape: Shape | None = None):
    return far.go()
if __name__ == "__main__":
    print(work())
--- far.py
from __future__ import annotations
from typing import TYPE_CHECKING, Protocol, overload
if TYPE_CHECKING:
    from data.shapes import Shape
class Reader(Protocol):
    def read(self, size: int) -> str: ...
def go():
    from data import back
    return back.come() + sum(step(None, n) for n in (1, 2))
def step(reader: Reader, n: int) -> int:
    return n
def never(reader: Reader):
    from data import shapes
    return shapes
if __name__ == "__main__":
    print(go())
--- back.py
from data import far
FACTOR = 2
def come():
    return FACTOR * far.step(None, 3)
--- shapes.py
class Shape:
    wide = 1
""",
        edit("constant in a circle of imports made late", "back.py", "FACTOR = 2", "FACTOR = 3"),
        edit("function called back around the circle", "far.py", "return n\n", "return n + 1\n"),
        edit(
            "import for types only", "far.py", "    from data.shapes import Shape\n", "    from data.shapes import Shape as Figure\n", QUIET
        ),
        edit("module imported for types only", "shapes.py", "wide = 1", "wide = 2", QUIET),
        edit("what a module does when started as a program", "far.py", "print(go())", "print(go(), 1)", QUIET),
        edit("the same, of the module that is entered", "near.py", "print(work())", "print(work(), 1)", QUIET),
        edit("method of a protocol that only annotations name", "far.py", "size: int) -> str", "size: int, start: int = 0) -> str", QUIET),
        edit(
            "import inside a function that isn't called",
            "far.py",
            "    from data import shapes\n",
            "    from data import shapes as figures, shapes\n",
            QUIET,
        ),
        edit("annotation of a function's result", "far.py", "n: int) -> int", "n: float) -> float", QUIET),
        edit("import of the library that nothing uses", "far.py", "from typing import", "import colorsys\nfrom typing import", EFFECTLESS),
    ),
    program(
        """
import importlib, importlib.util, runpy, sys, types
from pathlib import Path
from data import far
HERE = Path(__file__).parent
def work():
    spec = importlib.util.spec_from_file_location("loose", HERE / "loose" / "part.py")
    part = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(part)
    made = types.ModuleType("made")
    exec(compile((HERE / "made.txt").read_text(), "made", "exec"), made.__dict__)
    far.COUNT.append(1)
    again = importlib.reload(far)
    ran = runpy.run_path(str(HERE / "script.py"))
    sys.path.insert(0, str(HERE / "vendored"))
    import vendor
    relative = importlib.import_module(".tail", "data.loose")
    return part.VALUE, made.VALUE, again.COUNT, ran["VALUE"], vendor.go(), relative.VALUE
--- far.py
COUNT = [0]
--- loose/__init__.py
--- loose/part.py
VALUE = 1
--- loose/tail.py
VALUE = 6
def never():
    return VALUE
--- made.txt
VALUE = 2
--- script.py
VALUE = 3
--- vendored/vendor.py
from vendor_deep import VALUE
def go():
    return VALUE
--- vendored/vendor_deep.py
VALUE = 4
""",
        edit("module loaded from a path", "loose/part.py", "VALUE = 1", "VALUE = 7"),
        edit("text of a module made by hand", "made.txt", "VALUE = 2", "VALUE = 7"),
        edit("module loaded again", "far.py", "[0]", "[7]"),
        edit("script run from its path", "script.py", "VALUE = 3", "VALUE = 7"),
        edit("module on a path that the program adds", "vendored/vendor_deep.py", "VALUE = 4", "VALUE = 7"),
        edit("module named relative to a package", "loose/tail.py", "VALUE = 6", "VALUE = 7"),
        add("module found first on the path that the program adds", "vendored/vendor/__init__.py", "def go():\n    return 0\n"),
        edit("unused function of a module named relative to a package", "loose/tail.py", "return VALUE", "return -VALUE", QUIET),
    ),
    program(
        """
import pkgutil, importlib
from data import plugins
def work():
    found = [each.name for each in pkgutil.iter_modules(plugins.__path__)]
    return [importlib.import_module("data.plugins." + name).ORDER for name in found], plugins.shared.mark()
--- plugins/__init__.py
from data.plugins import shared
--- plugins/shared.py
ORDER = 0
def mark():
    return 1
--- plugins/text.py
ORDER = 2
""",
        add("plugin added to a listed package", "plugins/html.py", "ORDER = 3\n"),
        remove("plugin removed", "plugins/text.py"),
        rename("plugin renamed: it comes first", "plugins/text.py", "plugins/a.py"),
        add("file that is no plugin in a listed package", "plugins/notes.txt", "x", EFFECTLESS),
        add("test beside the package", "/tests/test_plugins.py", "def test_nothing():\n    pass\n", QUIET),
    ),
    program(
        """
import logging.config, unittest.mock
from data import far
def work():
    logging.config.dictConfig({
        "version": 1, "disable_existing_loggers": False,
        "formatters": {"f": {"()": "data.handlers.Short"}},
        "handlers": {"h": {"class": "data.handlers.Kept", "formatter": "f"}},
        "loggers": {"rooms": {"handlers": ["h"], "level": "INFO", "propagate": False}},
    })
    with unittest.mock.patch("data.far.helper", far.instead):
        far.go()
    from data.handlers import KEPT
    return KEPT
--- handlers.py
import logging
KEPT = []
class Short(logging.Formatter):
    def format(self, record):
        return record.getMessage()[:3]
class Kept(logging.Handler):
    def emit(self, record):
        KEPT.append(self.format(record))
class Dropped(logging.Handler):
    def emit(self, record):
        pass
--- far.py
import logging
LOG = logging.getLogger("rooms")
def go():
    LOG.info("%s", helper())
def helper():
    return "plain text"
def instead():
    return "other text"
""",
        edit("formatter that a table names", "handlers.py", "[:3]", "[:4]"),
        edit("handler that a table names", "handlers.py", "append(self.format(record))", "insert(0, record.levelname)"),
        edit("function put instead of another", "far.py", '"other text"', '"another"'),
        edit("arguments of a message that a handler reads", "far.py", '"%s", helper()', '"%.1s", helper()'),
        edit("function that was replaced before it ran", "far.py", '"plain text"', '"plain"', QUIET),
        edit("handler that no table names", "handlers.py", "pass", "return", QUIET),
    ),
)

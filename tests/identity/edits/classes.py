"""Classes: what subclasses, metaclasses, descriptors and fields do, and methods that are found first once they are added."""

from __future__ import annotations

from tests.identity.edits.case import EFFECTLESS, QUIET, edit, program

PROGRAMS = (
    program(
        """
from data.base import Base, names, Reader
from data import kinds
def work():
    return names(), [kind.__name__ for kind in Base.__subclasses__()], Reader().read(), isinstance(Reader(), kinds.Closable)
--- base.py
FOUND = {}
class Base:
    def __init_subclass__(cls, kind="plain", **rest):
        FOUND[kind] = cls.__name__
        super().__init_subclass__(**rest)
    def read(self):
        return "base"
def names():
    return sorted(FOUND.items())
class Mixin:
    pass
class Reader(Mixin, Base, kind="reader"):
    def close_all(self):
        return 1
--- kinds.py
from typing import Protocol, runtime_checkable
from data.base import Base
class Text(Base, kind="text"):
    pass
@runtime_checkable
class Closable(Protocol):
    def close(self) -> None: ...
""",
        edit(
            "class added that nothing mentions, whose base registers it",
            "kinds.py",
            "@runtime",
            "class Html(Base, kind='html'):\n    pass\n@runtime",
        ),
        edit("keyword of a class that its base reads", "kinds.py", 'kind="text"', 'kind="words"'),
        edit("class renamed that nothing mentions", "kinds.py", "class Text", "class Words"),
        edit("default of __init_subclass__, used by none", "base.py", '"plain"', '"simple"', EFFECTLESS),
        edit(
            "method that a mixin puts before the base's",
            "base.py",
            "class Mixin:\n    pass",
            "class Mixin:\n    def read(self):\n        return 'mixin'",
        ),
        edit("order of bases", "base.py", "class Mixin:\n    pass", "class Mixin:\n    read = lambda self: super().read() + '!'"),
        edit(
            "method that makes an instance fit a protocol", "base.py", "def close_all", "def close(self):\n        pass\n    def close_all"
        ),
        edit("method that nothing calls", "base.py", "return 1", "return 2", QUIET),
        edit(
            "method that nothing mentions added",
            "base.py",
            "    def close_all",
            "    def open_all(self):\n        return 3\n    def close_all",
            QUIET,
        ),
        edit(
            "plain class added beside them",
            "base.py",
            "class Mixin:",
            "class Aside:\n    def read(self):\n        return 'aside'\nclass Mixin:",
            QUIET,
        ),
    ),
    program(
        """
from data.plain import Base
import data.more
def work():
    return sorted(kind.__name__ for kind in Base.__subclasses__())
--- plain.py
class Base:
    def read(self):
        return 1
--- more.py
from data.plain import Base
class One(Base):
    pass
""",
        edit("class added that only __subclasses__ finds", "more.py", "class One", "class Two(Base):\n    pass\nclass One"),
        edit("base of a class that only __subclasses__ finds", "more.py", "One(Base)", "One"),
    ),
    program(
        """
from data.far import Room, House, Meter, Tool
def work():
    room, house = Room(2, 3), House([Room(1, 1), Room(2, 2)])
    return (
        str(room), f"{room}", room == Room(2, 3), len({room, Room(2, 3)}), bool(room),
        [each.area for each in house], house.total, Meter().value,
        Room(1, 2) in house, dict(Tool(a=1)), "%s" % Tool(a=1), house.find(5), Room.unit(), Room.made(4).area,
    )
--- far.py
class Plain:
    wide = 1
class Room(Plain):
    def __init__(self, wide, deep):
        self.wide, self.deep = wide, deep
    @property
    def area(self):
        return self.wide * self.deep
    @property
    def edge(self):
        return self.wide + self.deep
    def __repr__(self):
        return "Room"
    @staticmethod
    def unit():
        return "m"
    @classmethod
    def made(cls, side):
        return cls(side, side)
    def spare(self):
        return self.edge
class House:
    def __init__(self, rooms):
        self.rooms = rooms
    def __getitem__(self, n):
        return self.rooms[n]
    def __getattr__(self, name):
        if name == "find":
            return lambda n: n
        if name == "total":
            return 0
        raise AttributeError(name)
class Positive:
    def __set_name__(self, owner, name):
        self.name = name.upper()
    def __get__(self, instance, owner):
        return self.name
class Meter:
    value = Positive()
class Tool(dict):
    pass
""",
        *(
            edit(f"{name} added", "far.py", "    def spare", f"    def {name}(self{arguments}):\n        return {result}\n    def spare")
            for name, arguments, result in (
                ("__str__", "", "'room'"),
                ("__format__", ", spec", "'room'"),
                ("__eq__", ", other", "True"),
                ("__len__", "", "0"),
                ("__bool__", "", "False"),
            )
        ),
        edit(
            "__hash__ added, and __eq__ with it",
            "far.py",
            "    def spare",
            "    __hash__ = lambda self: 1\n    __eq__ = lambda self, other: True\n    def spare",
        ),
        edit(
            "__iter__ found before __getitem__",
            "far.py",
            "class House:",
            "class House:\n    def __iter__(self):\n        return iter(self.rooms[:1])",
        ),
        edit(
            "__contains__ found before __getitem__",
            "far.py",
            "class House:",
            "class House:\n    def __contains__(self, room):\n        return True",
        ),
        edit(
            "property found before __getattr__",
            "far.py",
            "class House:",
            "class House:\n    @property\n    def total(self):\n        return len(self.rooms)",
        ),
        edit("method found before __getattr__", "far.py", "class House:", "class House:\n    def find(self, n):\n        return n + 1"),
        edit(
            "keys of a dict subclass, which dict() asks",
            "far.py",
            "class Tool(dict):\n    pass",
            "class Tool(dict):\n    def __iter__(self):\n        return iter(())\n"
            "    def keys(self):\n        return ['b']\n    def __getitem__(self, key):\n        return 2",
        ),
        edit("__set_name__", "far.py", "upper()", "title()"),
        edit(
            "__set__ added: the descriptor becomes one of data",
            "far.py",
            "class Meter:",
            "class Meter:\n    def __init__(self):\n        vars(self)['value'] = 1",
        ),
        edit("static method", "far.py", '"m"', '"cm"'),
        edit("class method", "far.py", "cls(side, side)", "cls(side, side + 1)"),
        edit("property that nothing reads", "far.py", "self.wide + self.deep", "self.wide - self.deep", QUIET),
        edit("method that nothing calls, of a class that is used", "far.py", "return self.edge", "return -self.edge", QUIET),
        edit(
            "docstring of a class and of a method",
            "far.py",
            "    def spare(self):\n",
            '    def spare(self):\n        """Do nothing for now."""\n',
            QUIET,
        ),
        edit(
            "comments and blank lines between methods",
            "far.py",
            "    @staticmethod",
            "\n    # Units are metric.\n\n    @staticmethod",
            QUIET,
        ),
    ),
    program(
        """
import enum, functools
from data.far import Color, Point, Pair, Flags, area, Sorted
def work():
    return (
        [(c.name, c.value) for c in Color], Point(1), Point(1) == Point(1, 2), Pair(1), Flags.all().value, area(Pair(2)), area(Point(3)),
        sorted([Sorted(2), Sorted(1)])[0].n, Sorted(3) >= Sorted(3), Point.__doc__,
    )
--- far.py
import enum, functools
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple
class Color(enum.Enum):
    RED = enum.auto()
    BLUE = enum.auto()
    def dark(self):
        return self is Color.BLUE
class Flags(enum.Flag):
    A = enum.auto()
    B = enum.auto()
    @classmethod
    def all(cls):
        return cls.A | cls.B
@dataclass
class Point:
    x: int
    y: int = 2
    scale: ClassVar[int] = 3
    tags: list = field(default_factory=list)
    def moved(self):
        return Point(self.x + 1)
class Pair(NamedTuple):
    a: int
    b: int = 5
def area(shape):
    match shape:
        case Pair(a, b):
            return a * b
        case Point(x, y):
            return x + y
@functools.total_ordering
class Sorted:
    def __init__(self, n):
        self.n = n
    def __lt__(self, other):
        return self.n < other.n
    def __eq__(self, other):
        return self.n == other.n
""",
        edit(
            "order of an enum's automatic values",
            "far.py",
            "RED = enum.auto()\n    BLUE = enum.auto()",
            "BLUE = enum.auto()\n    RED = enum.auto()",
        ),
        edit("member of an enum added at its end", "far.py", "    def dark", "    GREEN = enum.auto()\n    def dark"),
        edit(
            "values of an enum computed otherwise",
            "far.py",
            "class Color(enum.Enum):",
            "class Color(enum.Enum):\n    def _generate_next_value_(name, start, count, last):\n        return name",
        ),
        edit("default of a dataclass field", "far.py", "y: int = 2", "y: int = 4"),
        edit("annotation that makes a field of an attribute", "far.py", "scale: ClassVar[int]", "scale: int"),
        edit("__match_args__ added", "far.py", "    def moved", "    __match_args__ = ('y', 'x')\n    def moved", EFFECTLESS),
        edit("__match_args__ that skip a field", "far.py", "    def moved", "    __match_args__ = ('x', 'scale')\n    def moved"),
        edit("__post_init__ added", "far.py", "    def moved", "    def __post_init__(self):\n        self.y += 1\n    def moved"),
        edit("option of the dataclass decorator", "far.py", "@dataclass\n", "@dataclass(eq=False)\n"),
        edit("default of a named tuple", "far.py", "b: int = 5", "b: int = 6"),
        edit(
            "comparison that total_ordering makes, given by hand",
            "far.py",
            "    def __eq__(self, other):\n        return self.n == other.n",
            "    def __eq__(self, other):\n        return self.n == other.n\n    def __ge__(self, other):\n        return False",
        ),
        edit("method of an enum that nothing calls", "far.py", "self is Color.BLUE", "self is not Color.RED", QUIET),
        edit("method of a dataclass that nothing calls", "far.py", "Point(self.x + 1)", "Point(self.x + 2)", QUIET),
        edit("dataclass added that nothing mentions", "far.py", "def area", "@dataclass\nclass Line:\n    x: int = 0\ndef area", QUIET),
    ),
    program(
        """
from data.far import Config, Registry, Made, Generic
def work():
    told = Config(size=2, name="a")
    return told.model_dump(), Config.model_json_schema()["properties"]["size"], sorted(Registry.known), Made().value(), Generic["x"]
--- far.py
from typing import Literal
from pydantic import BaseModel, Field, field_validator
class Config(BaseModel):
    size: int = Field(1, description="how many")
    name: Literal["a", "b"]
    @field_validator("size")
    def double(cls, value):
        return value * 2
    def label(self):
        return self.name
class Registry(type):
    known = []
    def __new__(mcs, name, bases, space):
        space["value"] = lambda self: name.lower() + mcs.tail()
        mcs.known.append(name)
        return super().__new__(mcs, name, bases, space)
    @classmethod
    def tail(mcs):
        return "!"
class Made(metaclass=Registry):
    pass
class Other(metaclass=Registry):
    pass
class Generic:
    def __class_getitem__(cls, item):
        return item * 2
""",
        edit("validator of a model", "far.py", "value * 2", "value * 3"),
        edit("description of a field, which the schema gives", "far.py", '"how many"', '"how much"'),
        edit("type of a field", "far.py", "size: int", "size: float"),
        edit("field added with a default", "far.py", "    @field_validator", "    deep: bool = True\n    @field_validator"),
        edit(
            "model_post_init added",
            "far.py",
            "    def label",
            "    def model_post_init(self, context):\n        self.size += 1\n    def label",
        ),
        edit("metaclass", "far.py", "name.lower()", "name.upper()"),
        edit("unmentioned class of a metaclass renamed", "far.py", "class Other", "class Another"),
        edit("method of a metaclass that makes classes", "far.py", '"!"', '"?"'),
        edit("__class_getitem__", "far.py", "item * 2", "item * 3"),
        edit("method of a model that nothing calls", "far.py", "return self.name", "return self.name * 2", QUIET),
        edit(
            "model added that nothing mentions",
            "far.py",
            "class Registry",
            "class Shape(BaseModel):\n    wide: int = 1\nclass Registry",
            QUIET,
        ),
    ),
)

"""Files of the repository: read, mapped, listed, asked about, absent; by Python and by libraries."""

from __future__ import annotations

import io

import numpy as np

from tests.identity.edits.case import EFFECTLESS, QUIET, Files, Program, add, edit, program, remove, rename


def array(*numbers: int) -> bytes:
    """A NumPy file."""
    file = io.BytesIO()
    np.save(file, np.array(numbers, dtype=np.int32))
    return file.getvalue()


# How what lies in notes.txt, numbers.npy or the folder of texts comes into what is returned.
READ_TEXT = {
    "open": "open(HERE / 'notes.txt').read()",
    "open for reading and writing": "open(HERE / 'notes.txt', 'r+').read()",
    "open for appending, then from the start": "(lambda f: (f.seek(0), f.read()))(open(HERE / 'notes.txt', 'a+'))[1]",
    "io.FileIO": "io.FileIO(str(HERE / 'notes.txt')).readall()",
    "os.open": "os.read(os.open(HERE / 'notes.txt', os.O_RDONLY), 99)",
    "codecs.open": "codecs.open(str(HERE / 'notes.txt'), encoding='utf-8').read()",
    "mmap": "(lambda f: mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)[:])(open(HERE / 'notes.txt'))",
    "linecache": "linecache.getline(str(HERE / 'notes.txt'), 2)",
    "fileinput": "list(fileinput.input([HERE / 'notes.txt']))",
    "importlib.resources": "importlib.resources.files('data').joinpath('notes.txt').read_text()",
    "pkgutil.get_data": "pkgutil.get_data('data', 'notes.txt')",
    "configparser": "(lambda c: (c.read(HERE / 'notes.txt'), dict(c['a'])))(configparser.ConfigParser())[1]",
    "shutil.copy": "open(shutil.copy(HERE / 'notes.txt', 'copy.txt')).read()",
    "filecmp": "filecmp.cmp(HERE / 'notes.txt', HERE / 'same.txt', shallow=False)",
    "a template's loader": "jinja2.Environment(loader=jinja2.FileSystemLoader(HERE)).from_string('{% include \"notes.txt\" %}').render()",
    "a digest of it": "hashlib.file_digest(open(HERE / 'notes.txt', 'rb'), 'sha256').hexdigest()",
    "a symbolic link": "(os.symlink(HERE / 'notes.txt', 'link'), open('link').read())[1]",
    "a path with dots": "open(f'{HERE}/../data/./notes.txt').read()",
    "a relative path": "(os.chdir(HERE), open('notes.txt').read())[1]",
    "a descriptor of the folder": "os.read(os.open('notes.txt', os.O_RDONLY, dir_fd=os.open(HERE, os.O_RDONLY)), 99)",
    "np.loadtxt": "np.genfromtxt(HERE / 'notes.txt', dtype=str, comments=None, delimiter='|').tolist()",
    "a zip made of it": "(lambda z: (z.write(HERE / 'notes.txt', 'n'), z.read('n')))(zipfile.ZipFile('made.zip', 'w'))[1]",
    "pandas": "pandas.read_csv(HERE / 'notes.txt', header=None).values.tolist()",
    "a database that reads a text file": "duckdb.sql(f\"select content from read_text('{HERE}/notes.txt')\").fetchall()",
    "a hard link": "(os.link(HERE / 'notes.txt', 'hard'), open('hard').read())[1]",
    "a child that prints it": "subprocess.run(['cat', HERE / 'notes.txt'], capture_output=True).stdout",
}
ASKED = {
    "size": "(HERE / 'notes.txt').stat().st_size",
    "os.path.getsize": "os.path.getsize(HERE / 'notes.txt')",
    "size while listed": "[e.stat().st_size for e in os.scandir(HERE) if e.name == 'notes.txt']",
}
LISTED = {
    "listdir": "sorted(os.listdir(HERE / 'texts'))",
    "iterdir": "sorted(p.name for p in (HERE / 'texts').iterdir())",
    "glob": "sorted(p.name for p in HERE.glob('texts/*.txt'))",
    "rglob": "sorted(p.name for p in HERE.rglob('*.txt'))",
    "glob.glob": "sorted(map(os.path.basename, glob.glob(str(HERE / '**' / '*.txt'), recursive=True)))",
    "os.walk": "sorted(name for _, _, names in os.walk(HERE / 'texts') for name in names)",
    "importlib.resources": "sorted(p.name for p in importlib.resources.files('data').joinpath('texts').iterdir())",
    "a loader of templates": "[n for n in jinja2.FileSystemLoader(HERE).list_templates() if n.endswith('.txt')]",
    "shutil.copytree": "sorted(os.listdir(shutil.copytree(HERE / 'texts', 'copied')))",
}
LIBRARIES = (
    *("codecs", "configparser", "duckdb", "filecmp", "fileinput", "glob", "hashlib", "importlib.resources", "io", "jinja2", "linecache"),
    *("mmap", "os", "pandas", "pkgutil", "shutil", "subprocess", "zipfile"),
)
HEAD = """
{imports}
import numpy as np
from pathlib import Path
HERE = Path(__file__).parent
def work():
    return {how}
--- notes.txt
[a]
b=1
--- same.txt
[a]
b=1
--- other.txt
[a]
--- texts/one.txt
1
"""


def reading(how: str) -> str:
    """A program that returns what `how` reads; it imports no more than that, for time's sake."""
    imports = "\n".join(f"import {name}" for name in LIBRARIES if f"{name}." in how)
    return HEAD.replace("{how}", how).replace("{imports}", imports)


def reads(what: str, how: str) -> Program:
    """A program that reads a text file."""
    return program(
        reading(how),
        edit(f"text read by {what}", "notes.txt", "b=1", "b=2"),
        edit(f"text beside the one read by {what}", "other.txt", "[a]", "[b]", QUIET),
    )


def asks(what: str, how: str) -> Program:
    """A program that asks about a text file."""
    return program(
        reading(how),
        edit(f"{what} of a file", "notes.txt", "b=1", "b=10"),
    )


def lists(what: str, how: str) -> Program:
    """A program that lists a folder."""
    return program(
        reading(how),
        add(f"file added to a folder listed by {what}", "texts/two.txt", "2\n"),
        edit(f"text of a file listed by {what}", "texts/one.txt", "1", "3", EFFECTLESS),
    )


ARRAYS: Files = {"numbers.npy": array(1, 2, 3), "raw.bin": bytes(range(12)), "other.npy": array(4)}
PROGRAMS = (
    *(reads(what, how) for what, how in READ_TEXT.items()),
    *(asks(what, how) for what, how in ASKED.items()),
    *(lists(what, how) for what, how in LISTED.items()),
    program(
        """
import numpy as np
from pathlib import Path
from data.far import table
HERE = Path(__file__).parent
def work():
    mapped = np.load(HERE / "numbers.npy", mmap_mode="r")
    raw = np.memmap(HERE / "raw.bin", dtype=np.int32, mode="r")
    return mapped.sum(), raw[1], np.fromfile(HERE / "raw.bin", dtype=np.uint8, count=2).tolist(), table()
--- far.py
import struct
from pathlib import Path
FORMAT = "<hh"
def table():
    return struct.unpack_from(FORMAT, Path(__file__).with_name("raw.bin").read_bytes())
""",
        edit("array that is mapped", "numbers.npy", array(1, 2, 3), array(1, 2, 4)),
        edit("bytes that are mapped", "raw.bin", bytes([5, 6]), bytes([5, 7])),
        edit("bytes that are read as numbers", "raw.bin", bytes([0, 1, 2]), bytes([1, 1, 2])),
        edit("format of packed bytes", "far.py", '"<hh"', '">hh"'),
        edit("array that nothing loads", "other.npy", array(4), array(5), QUIET),
        binary=ARRAYS,
    ),
    program(
        """
import json, os
from pathlib import Path
HERE = Path(__file__).parent
def work():
    rules = json.loads((HERE / "rules.json").read_text())
    try:
        rules |= json.loads((HERE / "local.json").read_text())
    except FileNotFoundError:
        pass
    if (HERE / "strict").exists():
        rules["strict"] = True
    rules["deep"] = os.path.isdir(HERE / "deep"), os.access(HERE / "extra.json", os.R_OK)
    return rules, (HERE / "query.sql").read_text().split()
--- rules.json
{"a": 1}
--- query.sql
select 1
--- unread.sql
select 2
""",
        edit("number in a file of rules", "rules.json", "1", "2"),
        edit("file of rules laid out otherwise", "rules.json", '{"a": 1}', '{ "a": 1 }', EFFECTLESS),
        add("file that was absent appears", "local.json", '{"a": 5}'),
        add("file that exists() asked for appears", "strict", ""),
        add("folder that isdir() asked for appears", "deep/x.txt", ""),
        add("file that access() asked for appears", "extra.json", "{}"),
        edit("query", "query.sql", "select 1", "select 3"),
        edit("query that isn't read", "unread.sql", "select 2", "select 3", QUIET),
        remove("file that isn't read removed", "unread.sql", QUIET),
        rename("file that is read renamed", "query.sql", "questions.sql"),
        add("manual added", "/README.md", "# Rooms\n", QUIET),
        add("test added", "/tests/test_rooms.py", "def test_rooms():\n    pass\n", QUIET),
    ),
)

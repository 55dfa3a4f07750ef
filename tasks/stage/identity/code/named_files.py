"""Find the files beside the code that a string in it may name.

A string that is the end of a file's path names that file: among the files below the code's own folder if there are any and the code never
goes upwards, else among all. A pattern, a suffix or a folder, from which a name is put together at run time, names every file that it
could mean. A file whose name appears nowhere in the code, not even in part, and which lies outside the folder of the code that reads it,
can't be found this way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from tasks.stage.identity.code.source_tree import Module, Tree

PLAIN = re.compile(r"[\w./-]+")
FOLDER = re.compile(r"[\w/-]+")
PATTERN = re.compile(r"[\w*./{}?\[\]-]*")
LONGEST = 300


def certain(tree: Tree, module: Module, text: str) -> list[str]:
    """Return the files that a string names."""
    end = "/".join(part for part in text.split("/") if part not in ("", ".", ".."))
    if not end or "." not in end.rpartition("/")[2][1:] or not PLAIN.fullmatch(text):
        return []
    own = [name for name in tree.inside(module.folder) if f"/{name}".endswith(f"/{end}")]
    return own if own or not module.goes_up else [name for name in tree.files if f"/{name}".endswith(f"/{end}")]


def possible(tree: Tree, module: Module, text: str) -> list[str]:
    """Return the files of whose name a string may be a part: a folder, a suffix, a pattern, or one word of a longer text."""
    if len(text) > LONGEST or not text:
        return []
    reached = list(tree.data) if module.goes_up else [name for name in tree.inside(module.folder) if not name.endswith(".py")]
    if FOLDER.fullmatch(text):
        start = 0 if module.goes_up else len(module.folder)
        return [name for name in reached if f"/{text.strip('/')}/" in f"/{name[start:]}"]
    suffix = PurePosixPath(text).suffix or (text if text.startswith(".") else "")
    if suffix and PATTERN.fullmatch(text):
        return [name for name in reached if name.endswith(suffix)]
    words = {word for word in re.split(r"[\s'\"`(),:;=]+", text) if "." in word and len(word) < len(text)}
    return sorted({name for word in words for name in certain(tree, module, word)})


def mentioned(tree: Tree, name: str) -> Iterable[str]:
    """Return other data files named in a data file, such as a template that another one includes."""
    content = tree.files[name]
    return [other for other in tree.data if other != name and PurePosixPath(other).name.encode() in content]


def beside(tree: Tree, module: Module) -> list[str]:
    """Return every data file at or below a module's folder."""
    return [name for name in tree.inside(module.folder) if not name.endswith(".py")]

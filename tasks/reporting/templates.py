"""The templates of the pages: every text is escaped, and a name that is not given is an error."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
COMPILED = HERE / "__pycache__"


def environment() -> Environment:
    """Return the environment of the templates beside this module.

    Compiling one takes longer than rendering it, so what it was compiled to is kept where Python keeps the modules', if it does.
    """
    cache = FileSystemBytecodeCache(str(COMPILED), f"%s.{_options()}.jinja") if _keeps() else None
    return Environment(
        loader=FileSystemLoader(HERE),
        bytecode_cache=cache,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _keeps() -> bool:
    return not sys.dont_write_bytecode and os.access(COMPILED, os.W_OK)


def _options() -> str:
    """Return what stands for the options above, since the cache looks only at a template's own content."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]

"""The traces of executions, in a store's `.traces/`: content-addressed files, so equal ones are stored once.

A record names two: the marks of its execution, and the trace that they gave on its source. They are written before the record and deleted
only when no kept record names them. A file whose content does not match its name counts as missing.
"""

from __future__ import annotations

import hashlib

from tasks.stage.store.store import Store

TRACES = ".traces"


def save_trace(store: Store, content: bytes) -> str:
    """Keep a content in the store and return its name, the hex sha256."""
    name = hashlib.sha256(content).hexdigest()
    if read_trace(store, name) is None:
        store.put(f"{TRACES}/{name}.json", content)
    return name


def read_trace(store: Store, name: str) -> bytes | None:
    """Return the content of a name; None if it is missing or damaged."""
    content = store.get(f"{TRACES}/{name}.json")
    return content if content is not None and hashlib.sha256(content).hexdigest() == name else None

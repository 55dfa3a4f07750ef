"""The traces of executions, in a store's `.traces/`: content-addressed files, so equal ones are stored once.

A record names two: the marks of its execution, and the trace that they gave on its source. They are written before the record and deleted
only when no kept record names them. A file whose content does not match its name counts as missing.
"""

from __future__ import annotations

import hashlib
import json

from tasks.stage.identity.tracing import mark_file, marks, trace
from tasks.stage.store.artifact import FORMAT, Artifact
from tasks.stage.store.index import Damaged, OtherFormat
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


def age_of(store: Store, record: Artifact | Damaged | None) -> str:
    """Return which version of folio a record is of, if today's can't compare what it ran, such as "rules 2, now 3"; otherwise "".

    A trace or marks that are missing or damaged say nothing of a version.
    """
    if isinstance(record, OtherFormat):
        return f"records of format {record.format}, now {FORMAT}"
    if not isinstance(record, Artifact):
        return ""
    if not record.trace:
        return "from before traces were recorded"
    marked, recorded = (_parsed(read_trace(store, name)) for name in (record.marks, record.trace))
    if isinstance(marked, dict) and (version := marked.get("version", marks.FIRST)) != mark_file.VERSION:
        return f"marks {version}, now {mark_file.VERSION}"
    try:
        rules = dict(recorded).get("rules", "none") if isinstance(recorded, list) else trace.RULES
    except (TypeError, ValueError):
        return ""
    return f"rules {rules}, now {trace.RULES}" if rules != trace.RULES else ""


def _parsed(content: bytes | None) -> object:
    try:
        return None if content is None else json.loads(content)
    except ValueError:
        return None

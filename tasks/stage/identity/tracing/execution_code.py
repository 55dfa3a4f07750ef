"""The table of execution code: definitions that can't change a byte of any artifact, each with the reason.

A definition may stand here only if no counted code uses its result. Whole files are named by their path, single definitions by
`path:qualname`, and everything at or below a folder by a path that ends in `/`.
"""

from __future__ import annotations

EXECUTION: dict[str, str] = {
    "tasks/stage/": "the stage machinery moves bytes and decides nothing about them",
    "tasks/lineage/": "what lineage asks of artifacts that are made",
    "tasks/reporting/": "what the report shows of artifacts that are made",
}

FOLDERS = tuple(name for name in EXECUTION if name.endswith("/"))


def is_execution(path: str, qualname: str = "") -> bool:
    """Return whether a file, or a definition in it, is execution code."""
    if path in EXECUTION or f"{path}:{qualname}" in EXECUTION:
        return True
    outer = qualname.rpartition(".")[0]
    if outer and f"{path}:{outer}" in EXECUTION:
        return True
    return path.startswith(FOLDERS)


def is_execution_module(module: str) -> bool:
    """Return whether a module, by its dotted name, lies in a folder of execution code."""
    return f"{module.replace('.', '/')}/".startswith(FOLDERS)

"""Tiny repositories, and programs in them that are run and recorded in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import LIBRARY_ROOT, Source
from tasks.stage.identity.tracing.trace import Trace, trace_of

RUN = """
import sys
sys.path.insert(0, {repository!r})
from pathlib import Path
from tasks.stage.identity.tracing import recorder
recorder.install(Path({marks!r}), Path({snapshot!r}))
sys.path[0] = {root!r}
from importlib import import_module
print(import_module({module!r}).work())
recorder.settle()
"""


def repository(root: Path, files: Mapping[str, str]) -> Path:
    """Write files by their paths, and return the root."""
    for name, text in {"toy/__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


class Program:
    """A program in a repository: `work` in toy/near.py. `said`: what its last run printed."""

    def __init__(self, root: Path, home: Path) -> None:
        """Use the repository in `root`; snapshots and marks lie below `home`."""
        self.root, self.home, self.said, self.runs = root, home, "", 0

    def run(self, *, check: bool = True, **environment: str) -> Marks:
        """Run it recorded, and return its marks."""
        self.runs += 1
        marks = self.home / f"marks-{self.runs}"
        manifest = Source.snapshot(self.root, self.home / "source").manifest
        names = {"repository": LIBRARY_ROOT, "marks": marks, "snapshot": manifest, "root": self.root}
        text = RUN.format(module="toy.near", **{name: str(value) for name, value in names.items()})
        done = subprocess.run(
            [sys.executable, "-c", text],
            env={**os.environ, "PYTHONPATH": str(self.root), **environment},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        self.said = done.stdout.strip()
        return Marks.read(marks)

    def trace(self, marks: Marks) -> Trace:
        """Return the trace that marks have on what lies in the repository now."""
        return trace_of(marks, Source.of(self.root))

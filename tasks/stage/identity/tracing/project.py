"""What a pipeline declares of its own repository: where it lies, and which of its code can't change an artifact.

It is frozen with the source of a run, so every process of the run has the same. This module imports the standard library only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

LIBRARY = f"{__name__.removesuffix('.identity.tracing.project').replace('.', '/')}/"
"""The folder of the stage machinery, which moves bytes and decides nothing about them, in the repository that holds it."""


@dataclass(frozen=True)
class Project:
    """The repository of a pipeline.

    `packages`: its top-level packages. `execution`: its code that can't change a byte of any artifact, with the reasons: a file by its
    path, a definition as `path:qualname`, all below a folder by a path that ends in `/`. `tag`: the field by which its unions of models
    choose a member. `libraries`: those to load once for all bodies, which share their memory then.
    """

    root: Path
    packages: tuple[str, ...] = ()
    execution: Mapping[str, str] = field(default_factory=dict)
    tag: str = "kind"
    libraries: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return all but the root as plain data."""
        return {name: value for name, value in asdict(self).items() if name != "root"}

    @classmethod
    def from_json(cls, root: Path, found: Mapping[str, Any]) -> Project:
        """Read what `to_json` has returned."""
        return cls(root, tuple(found["packages"]), found["execution"], found["tag"], tuple(found["libraries"]))

    @cached_property
    def rules(self) -> str:
        """Hash of what the facts of a file depend on."""
        return hashlib.sha256(json.dumps([sorted(self.execution), self.tag]).encode()).hexdigest()

    @cached_property
    def execution_folders(self) -> tuple[str, ...]:
        """Folders of which all is execution code."""
        return (LIBRARY, *(name for name in self.execution if name.endswith("/")))

    def is_execution(self, path: str, qualname: str = "") -> bool:
        """Return whether a file, or a definition in it, is execution code."""
        if path in self.execution or f"{path}:{qualname}" in self.execution:
            return True
        outer = qualname.rpartition(".")[0]
        if outer and f"{path}:{outer}" in self.execution:
            return True
        return path.startswith(self.execution_folders)

    def is_execution_module(self, module: str) -> bool:
        """Return whether a module, by its dotted name, lies in a folder of execution code."""
        return f"{module.replace('.', '/')}/".startswith(self.execution_folders)

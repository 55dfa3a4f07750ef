"""How two traces differ, in sentences."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

GONE = "gone"
# The most telling kinds of entries first.
KINDS = (
    "rules",
    "ran",
    "statement",
    "file",
    "mentioned",
    "choice",
    "kinds",
    "import",
    "module",
    "exists",
    "size",
    "link",
    "listing",
    "library",
    "python",
    "order",
)
How = Literal["changed", "added", "gone"]
WHAT: dict[How, str] = {"changed": "which changed", "added": "which was added", "gone": "which is gone"}


class Change(BaseModel, frozen=True, defer_build=True):
    """One entry in which two traces differ; `str(change)` says it as a sentence."""

    kind: str
    path: str
    name: str
    change: How
    old: str = ""
    new: str = ""

    @property
    def entry(self) -> str:
        """The entry of a trace that it is about: "kind path:name"."""
        return f"{self.kind} {self.path}{':' if self.name else ''}{self.name}"

    def __str__(self) -> str:
        """Return a sentence such as "ran `spans` in data/dedup/words.py, which changed"."""
        what, name = WHAT[self.change], f"`{self.name}` in {self.path}"
        match self.kind:
            case "rules":
                return f"traces are computed by other rules now: {self.old or 'none'} -> {self.new or 'none'}"
            case "ran":
                return f"ran {name}, {what}"
            case "mentioned" if self.change == "added" and "." in self.name:
                return f"{name} was added and would be found first"
            case "mentioned" | "statement" if self.name == "__main__":
                return f"runs {self.path} as a program, {what}"
            case "statement" if not self.name:
                return f"a statement of {self.path} acts when it is imported, {what}"
            case "mentioned" | "statement" | "choice":
                return f"mentions {name}, {what}"
            case "kinds":
                return f"{name} chooses among other kinds, or tells them apart differently"
            case "import":
                return f"{name} means {self.new or 'nothing'}, not {self.old or 'nothing'}"
            case "module" if self.path.endswith(".py"):
                return f"{self.path} {'was added and would be imported first' if self.new == 'added' else 'can be read otherwise'}"
            case "module":
                return (
                    f"{self.path} would be imported from {self.new or 'elsewhere'}" if self.new != "missing" else f"{self.path} is missing"
                )
            case "file":
                return f"reads {self.path}, {what if self.new else WHAT['gone']}"
            case "exists":
                return f"looks for {self.path}, which is {f'a {self.new} now' if self.new else 'gone'}"
            case "size":
                return f"asks for the size of {self.path}: {self.old} -> {self.new}"
            case "link":
                return f"follows the link {self.path} to {self.new or 'nothing'}, not {self.old or 'nothing'}"
            case "listing":
                return f"lists {self.path}, where {self._listed()}"
            case "order":
                what = f"the statements of {self.path}" if self.path.endswith(".py") else self.path
                return f"the order of {what or 'what modules do when they are imported'} changed"
        return f"{f'library {self.path}' if self.kind == 'library' else 'Python'}: {self.old or 'none'} -> {self.new or 'none'}"

    def _listed(self) -> str:
        old, new = set(self.old.splitlines()), set(self.new.splitlines())
        parts = [f"{name} was added" for name in sorted(new - old)[:3]] + [f"{name} is gone" for name in sorted(old - new)[:3]]
        return ", ".join(parts) or "the order changed"


def differences_of(old: dict[str, str], new: dict[str, str]) -> tuple[Change, ...]:
    """Return the entries that differ, the most telling first."""
    found = []
    for entry in {*old, *new}:
        before, after = old.get(entry), new.get(entry)
        if before != after:
            kind, _, rest = entry.partition(" ")
            path, _, name = rest.partition(":")
            how: How = "added" if before is None else "gone" if after in (None, GONE) else "changed"
            found.append(Change(kind=kind, path=path, name=name, change=how, old=before or "", new=after or ""))
    rank = {kind: number for number, kind in enumerate(KINDS)}
    return tuple(sorted(found, key=lambda change: (rank.get(change.kind, len(KINDS)), change.path, change.name)))

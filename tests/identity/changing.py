"""How a change is made to a site: files edited, keys set, artifacts damaged, runs before the one that is looked at."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from tests.identity.bench import Change, Site, accept, run_once, wait_for_mlflow


@dataclass(frozen=True)
class Together:
    """Several changes, one after the other."""

    changes: tuple[Change, ...]

    def __call__(self, site: Site) -> None:
        for change in self.changes:
            change(site)


@dataclass(frozen=True)
class Keys:
    """Keys set on the command line."""

    changes: tuple[str, ...]

    def __call__(self, site: Site) -> None:
        site.asked.changes += self.changes


@dataclass(frozen=True)
class Edit:
    """Text replaced in a file of the code or in a book."""

    path: str
    old: str
    new: str

    def __call__(self, site: Site) -> None:
        path = site.folder / self.path
        text = path.read_text()
        assert text.count(self.old) == 1, f"{self.old!r} stands {text.count(self.old)} times in {self.path}"
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Written:
    """A file that is new, or has other text."""

    path: str
    text: str

    def __call__(self, site: Site) -> None:
        (site.folder / self.path).parent.mkdir(parents=True, exist_ok=True)
        (site.folder / self.path).write_text(self.text)


@dataclass(frozen=True)
class Appended:
    """More text at the end of a file."""

    path: str
    text: str

    def __call__(self, site: Site) -> None:
        with (site.folder / self.path).open("a") as file:
            file.write(self.text)


@dataclass(frozen=True)
class Copied:
    """A file a second time."""

    path: str
    to: str

    def __call__(self, site: Site) -> None:
        shutil.copy(site.folder / self.path, site.folder / self.to)


@dataclass(frozen=True)
class Moved:
    """A file or folder under another name, or gone."""

    path: str
    to: str = ""

    def __call__(self, site: Site) -> None:
        path = site.folder / self.path
        if self.to:
            (site.folder / self.to).parent.mkdir(parents=True, exist_ok=True)
            path.rename(site.folder / self.to)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@dataclass(frozen=True)
class Touched:
    """Everything below a folder with the time of now."""

    path: str

    def __call__(self, site: Site) -> None:
        for path in (site.folder / self.path).rglob("*"):
            path.touch()


@dataclass(frozen=True)
class Damaged:
    """The bytes of a file of an artifact changed; `kept`: with the times that it had."""

    label: str
    file: str
    harm: Callable[[bytes], bytes]
    kept: bool = False

    def __call__(self, site: Site) -> None:
        path = site.artifact(self.label) / self.file
        times = path.stat()
        path.write_bytes(self.harm(path.read_bytes()))
        if self.kept:
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def flipped(content: bytes) -> bytes:
    """One bit of the byte in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def halved(content: bytes) -> bytes:
    """The first half."""
    return content[: len(content) // 2]


@dataclass(frozen=True)
class Gone:
    """An artifact, or a file of it, that is no longer there."""

    label: str
    file: str = ""

    def __call__(self, site: Site) -> None:
        path = site.artifact(self.label) / self.file
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@dataclass(frozen=True)
class Refreshed:
    """A stage that is to run in any case."""

    positions: frozenset[str]

    def __call__(self, site: Site) -> None:
        site.asked.refresh |= self.positions


@dataclass(frozen=True)
class Verified:
    """Everything is read again before it is reused."""

    def __call__(self, site: Site) -> None:
        site.asked.verify = True


@dataclass(frozen=True)
class Libraries:
    """Other versions of libraries are installed."""

    versions: tuple[tuple[str, str], ...]

    def __call__(self, site: Site) -> None:
        for name, version in self.versions:
            installed = distribution(name)
            modules = {file.parts[0].removesuffix(".py") for file in installed.files or [] if file.suffix in (".py", ".so")}
            folder = site.packages / f"{name}-{version}.dist-info"
            folder.mkdir(parents=True)
            metadata = re.sub(r"(?m)^Version: .*$", f"Version: {version}", installed.read_text("METADATA") or "")
            (folder / "METADATA").write_text(metadata)
            (folder / "top_level.txt").write_text("\n".join(sorted(name for name in modules if name.isidentifier())))


@dataclass(frozen=True)
class Ran:
    """A run before the one that is looked at, and all that it has MLflow told."""

    def __call__(self, site: Site) -> None:
        run_once(site)
        wait_for_mlflow(site)


@dataclass(frozen=True)
class Accepted:
    """A person vouches for what changed at a position."""

    position: str

    def __call__(self, site: Site) -> None:
        accept(site, self.position)


@dataclass(frozen=True)
class Emptied:
    """A folder without what was in it."""

    path: str

    def __call__(self, site: Site) -> None:
        path: Path = site.folder / self.path
        assert any(path.rglob("*")), f"{self.path} was empty before"
        shutil.rmtree(path)

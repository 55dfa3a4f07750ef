"""`folio corpus pin`: a manifest of what lies below a URL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data.sources.config import ManifestSource
from data.sources.errors import SourceError
from data.sources.fetching.manifest import manifest_line, read_manifest
from data.sources.fetching.prefix import pin_prefix
from data.sources.formats import FORMATS, USUAL
from flows.services.home import home
from tasks.stage.system.atomic_files import write_atomically

if TYPE_CHECKING:
    from data.sources.fetching.manifest import Entry


def pin_below(url: str, manifest: Path, formats: tuple[str, ...], max_megabytes: int, max_hours: float) -> str:
    """Write the manifest and return what was pinned, in a line.

    The file is written whole or not at all. What was pinned when a call ends early is kept beside it, where the next one goes on. Raise
    ValueError for a format that is not known, a file that exists or can't be written there, and for damage in what was kept.
    """
    if unknown := next((name for name in formats if name not in FORMATS), None):
        raise ValueError(f"--format {unknown} is not one of {', '.join(FORMATS)}")
    if manifest.exists():
        raise ValueError(f"{manifest} exists; name another file, or remove it first")
    if not manifest.parent.is_dir():
        raise ValueError(f"{manifest.parent} is not a folder; create it first")
    so_far = manifest.with_name(f".{manifest.name}.partial")
    pinned = _pinned_before(so_far)
    lines, before = [], 0
    for entry in pin_prefix(url, home() / "cache", formats or USUAL, max_megabytes, max_hours, pinned):
        lines.append(f"{manifest_line(entry)}\n")
        if entry.url in pinned:
            before += 1
            continue
        with so_far.open("a", encoding="utf-8") as kept:
            kept.write(lines[-1])
    write_atomically(manifest, "".join(lines).encode())
    so_far.unlink(missing_ok=True)
    again = f", {before} of them pinned before" if before else ""
    return f"{manifest} lists {len(lines)} files{again}; read them with a source {{kind: manifest, manifest: {manifest}}}"


def _pinned_before(so_far: Path) -> Mapping[str, Entry]:
    """Return {URL: file} of what an earlier call kept. Raise ValueError if it can't be read."""
    if not so_far.exists():
        return {}
    try:
        return {entry.url: entry for entry in read_manifest(ManifestSource(manifest=so_far.name), so_far.parent).values()}
    except SourceError as error:
        raise ValueError(f"{so_far} should hold what was pinned before; remove it to begin anew. {error}") from error

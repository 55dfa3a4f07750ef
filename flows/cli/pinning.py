"""`folio corpus pin`: a manifest of what lies below a URL."""

from __future__ import annotations

from pathlib import Path

from flows.services.home import home


def pin_below(url: str, manifest: Path, formats: tuple[str, ...], max_megabytes: int, max_hours: float) -> str:
    """Write the manifest and return what was pinned, in a line. Raise ValueError for a format that is not known or a file that exists.

    The file is written whole or not at all."""
    from data.sources.fetching.manifest import manifest_line
    from data.sources.fetching.prefix import pin_prefix
    from data.sources.formats import FORMATS, USUAL

    if unknown := next((name for name in formats if name not in FORMATS), None):
        raise ValueError(f"--format {unknown} is not one of {', '.join(FORMATS)}")
    if manifest.exists():
        raise ValueError(f"{manifest} exists; name another file, or remove it first")
    lines = [manifest_line(entry) for entry in pin_prefix(url, home() / "cache", formats or USUAL, max_megabytes, max_hours)]
    manifest.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return f"{manifest} lists {len(lines)} files; read them with a source {{kind: manifest, manifest: {manifest}}}"

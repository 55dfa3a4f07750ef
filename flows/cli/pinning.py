"""`folio corpus pin`: a manifest of what lies below a URL."""

from __future__ import annotations

from pathlib import Path

from flows.services.home import home


def pin_below(url: str, manifest: Path, formats: tuple[str, ...], max_megabytes: int, max_hours: float) -> str:
    """Write the manifest and return what was pinned, in a line. Raise ValueError for a format that is not known or a file that exists.

    The file is written whole or not at all. What was pinned when a call ends early is kept beside it, where the next one goes on.
    """
    from data.sources.fetching.manifest import manifest_line, read_line
    from data.sources.fetching.prefix import pin_prefix
    from data.sources.formats import FORMATS, USUAL

    if unknown := next((name for name in formats if name not in FORMATS), None):
        raise ValueError(f"--format {unknown} is not one of {', '.join(FORMATS)}")
    if manifest.exists():
        raise ValueError(f"{manifest} exists; name another file, or remove it first")
    so_far = manifest.with_name(f".{manifest.name}.partial")
    pinned = {entry.url: entry for entry in map(read_line, _whole_lines(so_far))}
    lines, before = [], 0
    with so_far.open("a", encoding="utf-8", buffering=1) as kept:
        for entry in pin_prefix(url, home() / "cache", formats or USUAL, max_megabytes, max_hours, pinned):
            lines.append(f"{manifest_line(entry)}\n")
            before += entry.url in pinned
            if entry.url not in pinned:
                kept.write(lines[-1])
    so_far.write_text("".join(lines), encoding="utf-8")
    so_far.replace(manifest)
    again = f", {before} of them pinned before" if before else ""
    return f"{manifest} lists {len(lines)} files{again}; read them with a source {{kind: manifest, manifest: {manifest}}}"


def _whole_lines(file: Path) -> list[str]:
    """Return the lines of a file that may end in the middle of one, or not exist; end it where the last whole one does."""
    if not file.exists():
        return []
    text = file.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        file.write_bytes(whole)
    return whole.decode().splitlines()

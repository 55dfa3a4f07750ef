"""What a model directory says of its own terms."""

from __future__ import annotations

from pathlib import Path

import yaml

UNSTATED = "not stated"


def stated_licence(directory: Path) -> str:
    """Return the licence that the front matter of the directory's README.md names; `not stated` if it names none."""
    try:
        text = (directory / "README.md").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return UNSTATED
    parts = text.split("---", 2)
    if len(parts) < 3 or parts[0].strip():
        return UNSTATED
    try:
        front = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return UNSTATED
    stated = front.get("license_name") if isinstance(front, dict) and front.get("license") == "other" else None
    stated = stated or (front.get("license") if isinstance(front, dict) else None)
    return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated or UNSTATED)

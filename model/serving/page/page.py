"""Put the page together, and say what it may do: its own style and scripts, asking this server, and nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

SCRIPTS = ("markdown.js", "stream.js", "pane.js", "chat.js")
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def page() -> tuple[str, str]:
    """Return the page and its Content-Security-Policy, which allows its style and script by their hashes alone."""
    folder = files("model.serving.page")
    style = folder.joinpath("chat.css").read_text(encoding="utf-8")
    script = '"use strict";\n' + "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)
    html = folder.joinpath("chat.html").read_text(encoding="utf-8")
    whole = html.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    return whole, POLICY.format(script=_source(script), style=_source(style))


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

"""The real `folio` command, in a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def folio(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `folio` with these words; the exit code is the caller's to check."""
    command = [sys.executable, "-m", "flows.cli.app", *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "FOLIO_HOME": str(home)}, cwd=ROOT, check=False)

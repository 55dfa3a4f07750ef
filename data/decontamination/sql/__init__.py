"""The SQL queries of decontamination, one file each."""

from __future__ import annotations

from pathlib import Path

SQL = Path(__file__).parent

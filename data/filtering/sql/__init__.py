"""The SQL queries of the filters, one file each."""

from __future__ import annotations

from pathlib import Path

SQL = Path(__file__).parent

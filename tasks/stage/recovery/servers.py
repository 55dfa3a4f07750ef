"""The servers that are told about a run: MLflow and Prefect. A run continues without them, and they are told later."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tasks.stage.store.journal import RunRecord


@dataclass(frozen=True)
class Servers:
    """MLflow's database and Prefect's API, as URLs, or "" for one that is not told. `home`: folio's home, for files that MLflow keeps."""

    mlflow: str
    prefect: str
    home: Path

    def of(self, record: RunRecord) -> list[str]:
        """Return those that are told of a run."""
        return [url for url, told in ((self.mlflow, True), (self.prefect, bool(record.flow_run_id))) if url and told]

    def lock_of(self, run_id: str) -> Path:
        """Return the lock of whoever tells these servers of a run."""
        return self.home / "cache" / "settling" / f"{run_id}.lock"

    def to_json(self) -> str:
        """Return one line for another process."""
        return json.dumps({"mlflow": self.mlflow, "prefect": self.prefect, "home": str(self.home)})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read what `to_json` has written."""
        given = json.loads(line)
        return cls(given["mlflow"], given["prefect"], Path(given["home"]))

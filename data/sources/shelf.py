"""Takes works in, one at a time, and writes them as the files that the next stage reads.

Guarantees: a work of which any part is text is a document, the parts that are none are quarantined with their reasons; what is written
depends on the works alone, not on their order. Texts wait in a temporary folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data.documents.schema import DOCUMENTS, LEDGER, QUARANTINE, document_id, write_rows
from data.sources.decode import NotText, decode
from data.sources.errors import SourceError
from data.sources.titles import name_disagrees, name_title, title_of
from data.sources.works import File


class Shelf:
    """The works of a shard. `held`: an empty folder to keep their texts in; `limit`: the size from which a file is too large, in bytes."""

    def __init__(self, held: Path, limit: int) -> None:
        self.limit = limit
        self.counts = {"documents": 0.0, "quarantined": 0.0, "characters": 0.0, "bytes": 0.0, "joined_parts": 0.0}
        self._held = held
        self._quarantine: list[dict[str, str]] = []
        self._left_out: set[str] = set()

    def take(self, source: str, work: str, parts: list[File], encoding: str, maker: str = "") -> None:
        """Read a work of a source from its parts; `maker` names the machine that wrote it. Raises SourceError when there is one of its name
        already."""
        texts, encodings, read = [], [], 0
        for name, content in parts:
            try:
                text, found = self._text(content, encoding)
            except NotText as reason:
                self._quarantine.append({"source": source, "path": name, "reason": str(reason)})
                continue
            texts.append(text)
            encodings.append(found)
            read += len(content)
        self.counts["quarantined"] = float(len(self._quarantine))
        if not texts:
            return
        identity, text = document_id(source, work), "\n\n".join(texts)
        if self._row(identity).exists():
            raise SourceError(f"two files are both {source}/{work}: give the sources different names")
        metadata: dict[str, Any] = {"path": work, "encoding": "+".join(sorted(set(encodings)))}
        if len(parts) > 1:
            metadata["parts"] = len(texts)
        if maker:
            metadata["maker"] = maker
        elif name_disagrees(work, text):
            metadata["title_mismatch"] = True
        title = name_title(work) if len(parts) > 1 else title_of(work, text)
        row: dict[str, Any] = {"id": identity, "title": title, "source": source, "synthetic": bool(maker)}
        row["metadata"] = json.dumps(metadata, ensure_ascii=False, sort_keys=True)
        self._row(identity).write_text(json.dumps(row), "utf-8")
        (self._held / f"{identity}.text").write_bytes(text.encode("utf-8"))
        self.counts["documents"] += 1
        self.counts["characters"] += len(text)
        self.counts["bytes"] += read
        self.counts["joined_parts"] += len(texts) if len(parts) > 1 else 0

    def leave_out(self, documents: set[str]) -> None:
        """Account for documents that the recipe says are never to be read."""
        self._left_out |= documents

    def write(self, output: Path) -> None:
        """Write documents.parquet, quarantine.parquet and ledger.parquet."""
        documents = [json.loads(path.read_text("utf-8")) for path in sorted(self._held.glob("*.json"))]
        write_rows(output / "documents.parquet", DOCUMENTS, (row | {"text": self._kept(row["id"])} for row in documents))
        rows = [_ledger(row["id"], "kept", "read", len(self._kept(row["id"])), "") for row in documents]
        rows += [_ledger(document, "removed", "never to be read", 0, "ingest.without") for document in self._left_out]
        lost = sorted(self._quarantine, key=lambda row: (row["source"], row["path"]))
        write_rows(output / "quarantine.parquet", QUARANTINE, lost)
        rows += [
            _ledger(document_id(row["source"], row["path"]), "quarantined", row["reason"].partition(":")[0], 0, row["path"]) for row in lost
        ]
        write_rows(output / "ledger.parquet", LEDGER, sorted(rows, key=lambda row: (row["id"], row["action"], row["detail"])))

    def _text(self, content: bytes | str, encoding: str) -> tuple[str, str]:
        if isinstance(content, str):
            raise NotText(content)
        if len(content) > self.limit:
            raise NotText(f"too large: {len(content)} bytes, the limit is {self.limit}")
        text, found = decode(content, encoding)
        # A lone surrogate (possible in UTF-16) has no UTF-8 form, which Parquet asks for.
        return text.encode("utf-8", "replace").decode("utf-8"), found

    def _row(self, identity: str) -> Path:
        return self._held / f"{identity}.json"

    def _kept(self, identity: str) -> str:
        return (self._held / f"{identity}.text").read_bytes().decode("utf-8")


def _ledger(identity: str, action: str, rule: str, characters: int, detail: str) -> dict[str, Any]:
    return {
        "id": identity,
        "stage": "ingest",
        "action": action,
        "rule": rule,
        "count": 1,
        "characters": characters,
        "net": 0,
        "detail": detail,
    }

"""Record or compare the digest of every file that a store's artifacts hold.

    python -m tests.golden record STORE GOLDEN.json
    python -m tests.golden compare STORE GOLDEN.json

STORE is a folder such as .folio/store. `tests/golden/digests.json` holds four_books and universe.
Compare before and after on one machine: training is bit-exact on one kind of processor only.
Files below logs/ differ between two equal executions and are left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

Digests = Mapping[str, Mapping[str, str]]


def digests(store: Path) -> dict[str, dict[str, str]]:
    """{stage/label: {path: sha256}} of each artifact in a store; of two with one label the newest."""
    records = sorted(
        (json.loads(path.read_text(encoding="utf-8")) for path in store.rglob("artifact.json")), key=lambda r: str(r["origin"]["created"])
    )
    return {
        f"{record['stage']}/{record['label']}": {f["path"]: f["sha256"] for f in record["files"] if not f["path"].startswith("logs/")}
        for record in records
    }


def differences(before: Digests, after: Digests) -> list[str]:
    """One line for each file that is missing, new or different; artifacts that `after` lacks altogether are named once."""
    found: list[str] = []
    for name, files in sorted(before.items()):
        if name not in after:
            found.append(f"{name}: not made")
            continue
        for path in sorted({*files, *after[name]}):
            if path not in after[name]:
                found.append(f"{name}/{path}: missing")
            elif path not in files:
                found.append(f"{name}/{path}: new")
            elif files[path] != after[name][path]:
                found.append(f"{name}/{path}: differs")
    return found


def main(command: str, store: str, golden: str) -> int:
    """Run one command; 1 when a comparison finds a difference."""
    found, file = digests(Path(store)), Path(golden)
    if command == "record":
        file.write_text(json.dumps(found, indent=1, sort_keys=True), encoding="utf-8")
        print(f"{len(found)} artifacts, {sum(map(len, found.values()))} files recorded in {file}")
        return 0
    before = json.loads(file.read_text(encoding="utf-8"))
    lines = differences(before, found)
    print("\n".join(lines))
    print(f"{len(before)} artifacts, {sum(map(len, before.values()))} files compared: {len(lines)} differences")
    return 1 if lines else 0


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("record", "compare"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))

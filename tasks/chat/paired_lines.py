"""Where pairs that a model made hold a document: in lines that name it, or that quote it."""

from __future__ import annotations

from data.provenance.lines import lines_naming, lines_quoting
from tasks.lineage.hook import Holding, Inspection


def inspect_pairs(inspection: Inspection) -> Holding:
    """A line names the documents that its answers are from; a reply of the model's own may quote one."""
    parts = set[str]()
    sources = inspection.inputs_named("examples")
    if not inspection.reached:
        return inspection.holding()
    complete, count = True, 0
    files = {f"pairs_{split}.jsonl": {f"preference/{split}"} for split in ("train", "val")} | {"set_aside.jsonl": set[str]()}
    for file, rows in files.items():
        if not inspection.has(file):
            continue
        named, listed = inspection.read(file, lines_naming)
        quoting = inspection.read(file, lambda stream, _: lines_quoting(stream, inspection.text()))
        complete, found = complete and listed, {*named, *quoting}
        count += len(found)
        parts |= {file, *rows} if found else set()
    certain = complete or all(known.certain and not known.parts for known in sources)
    return inspection.holding(parts, certain=certain, detail=f"{count} pairs" if count else "")

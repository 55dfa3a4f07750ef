"""Pair: make preference pairs with the current model: the right answer against the wrong one that it finds likeliest."""

from __future__ import annotations

from pathlib import Path

from data.provenance.lines import lines_naming, lines_quoting
from model.pairing.config import OwnPairs
from tasks.forecast.hook import PAIRING
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """A line names the documents that its answers are from; a reply of the model's own may quote one."""
    parts = set[str]()
    sources = inspection.inputs_named("examples")
    if not inspection.reached:
        return inspection.holding()
    complete, count = True, 0
    for split in ("train", "val"):
        file = f"pairs_{split}.jsonl"
        if not inspection.has(file):
            continue
        named, listed = inspection.read(file, lines_naming)
        quoting = inspection.read(file, lambda stream, _: lines_quoting(stream, inspection.text()))
        complete, found = complete and listed, {*named, *quoting}
        count += len(found)
        parts |= {file, f"preference/{split}"} if found else set()
    certain = complete or all(known.certain and not known.parts for known in sources)
    return inspection.holding(parts, certain=certain, detail=f"{count} pairs" if count else "")


@stage(hooks=(LineageHook(_inspect), PAIRING))
def pair(config: OwnPairs, work: Workspace, model: Path, tokenizer: Path, examples: Path) -> Metrics:
    """A model and preferences_*.jsonl -> preference/ token shards, pairs_*.jsonl."""
    from model.pairing.pairs import make_pairs

    return make_pairs(model, tokenizer, examples, work.output, config, threads=work.threads)

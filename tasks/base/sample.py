"""Sample: set apart the chunks of a shard's training text that the tokenizer may be fitted on.

None where the sample takes half of all text or more: then the tokenizer reads the split, and no text is stored twice. A changed text draws
its own shard again; other shards are drawn again only if the share changes, since all text has doubled or halved.
"""

from __future__ import annotations

from pathlib import Path

from data.provenance.tables import has_document
from data.tokens.config import CHUNKS, DrawConfig
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """It has passages of documents."""
    held = inspection.has(CHUNKS) and inspection.read(CHUNKS, has_document)
    return inspection.holding({CHUNKS} if held else ())


@stage(hooks=(LineageHook(_inspect),))
def sample(config: DrawConfig, work: Workspace, train: Path, share: Path) -> Metrics:
    """train.parquet of a shard, share.json -> chunks.parquet."""
    from data.tokens.sampling.draw import draw

    return draw(train, share, work.output, config)

"""What follows deduplication, shard by shard: remove what evaluation sets contain, and divide the rest into splits.

A stage over shards reads texts; a stage over all shards decides from ids and numbers, and hands each shard its slice of what was decided.
"""

from __future__ import annotations

from data.decontamination.config import PASSAGES, DecontaminateConfig
from data.splits.config import ASSIGNED, SplitConfig
from tasks.corpus.assign import assign
from tasks.corpus.contamination import contamination
from tasks.corpus.decontaminate import decontaminate
from tasks.corpus.search import search
from tasks.corpus.split import split
from tasks.stage.store.artifact import ShardedArtifact, SlicedArtifact, StageInput, StageOutput


def decontaminated(
    config: DecontaminateConfig,
    documents: ShardedArtifact,
    where: str = "",
    *,
    test: SlicedArtifact | None = None,
    questions: StageInput | None = None,
) -> ShardedArtifact:
    """Remove from all shards what evaluation sets contain. `test` and `questions`: what the run itself holds out."""
    shards = len(documents.items)
    found = search.at(where).over(shards)(config.searching, documents=documents, test=test, questions=questions)
    decided = contamination.at(where)(config.deciding(shards), found=found)
    passages = ShardedArtifact.of(decided, PASSAGES, shards)
    return decontaminate.at(where).over(shards)(config.cutting, documents=documents, passages=passages)


def divided(
    config: SplitConfig, unique: StageOutput, documents: ShardedArtifact, sizes: ShardedArtifact, where: str = ""
) -> ShardedArtifact:
    """Divide the documents of all shards into splits, near-duplicates of `unique` together."""
    shards = len(documents.items)
    decided = assign.at(where)(config, sizes=sizes, clusters=unique.part("clusters.parquet"))
    return split.at(where).over(shards)(config.dividing, documents=documents, assigned=ShardedArtifact.of(decided, ASSIGNED, shards))

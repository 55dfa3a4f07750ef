"""Examples of either kind, by configuration: from a universe's truth, or from the books themselves."""

from __future__ import annotations

from pathlib import Path

from data.examples.config import CorpusExamples
from data.examples.corpus import corpus_examples
from data.universe.config import UniverseExamples


def make_examples(splits: Path, world: Path | None, output: Path, config: UniverseExamples | CorpusExamples) -> dict[str, float]:
    """Writes the six files of conversations into `output` and returns what they hold.

    `splits` holds train.parquet; `world` is the universe's world.json, needed for `kind: universe` only. Raises ValueError if
    it is needed and missing.
    """
    if isinstance(config, CorpusExamples):
        return corpus_examples(splits, output, config)
    if world is None:
        raise ValueError("examples.kind 'universe' needs the universe as a source; set examples.kind: corpus for other texts")
    from data.universe.examples import universe_examples

    return universe_examples(world, output, config)

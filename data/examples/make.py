"""Makes examples of the configured kind: from a universe's facts, or from the books themselves."""

from __future__ import annotations

from pathlib import Path

from data.examples.config import CorpusExamples
from data.examples.corpus import corpus_examples
from data.universe.config import UniverseExamples


def make_examples(splits: Path, world: Path | None, output: Path, config: UniverseExamples | CorpusExamples) -> dict[str, float]:
    """Write the files of examples into `output` and return their numbers of lines.

    `splits`: the folder of train.parquet; `world`: the universe's world.json, for `kind: universe`. Raise ValueError if that needs it and
    it is None.
    """
    if isinstance(config, CorpusExamples):
        return corpus_examples(splits, output, config)
    if world is None:
        raise ValueError("examples.kind 'universe' needs the universe as a source; set examples.kind: corpus for other texts")
    from data.universe.examples import universe_examples

    return universe_examples(world, output, config)

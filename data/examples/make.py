"""Makes examples of the configured kind: from a universe's facts, from the books themselves, or from conversations."""

from __future__ import annotations

from pathlib import Path

from data.examples.config import ConversationExamples, CorpusExamples
from data.examples.corpus import corpus_examples
from data.universe.config import UniverseExamples


def make_examples(
    splits: Path,
    world: Path | None,
    output: Path,
    config: UniverseExamples | CorpusExamples | ConversationExamples,
    generated: Path | None = None,
) -> dict[str, float]:
    """Write the files of examples into `output` and return their numbers of lines.

    `splits`: the folder of train.parquet, of books or of conversations; `world`: the universe's world.json, for `kind: universe`;
    `generated`: examples to mix with conversations. Raise ValueError if a universe is needed and `world` is None.
    """
    if isinstance(config, ConversationExamples):
        from data.examples.gathered import gather_examples

        return gather_examples(splits, generated, output, config)
    if isinstance(config, CorpusExamples):
        return corpus_examples(splits, output, config)
    if world is None:
        raise ValueError("examples.kind 'universe' needs the universe as a source; set examples.kind: corpus for other texts")
    from data.universe.examples import universe_examples

    counts = universe_examples(world, output, config)
    if config.skills:
        from data.skills.make import add_skills

        counts |= add_skills(world, output, config)
    return counts

"""Makes examples of the configured kind: from a universe's facts, from the books themselves, or from conversations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.conversations.turns import join_exchanges
from data.examples.config import ConversationExamples, CorpusExamples
from data.examples.corpus import corpus_examples
from data.universe.config import UniverseExamples


def make_examples(
    splits: Sequence[Path],
    world: Path | None,
    output: Path,
    config: UniverseExamples | CorpusExamples | ConversationExamples,
    generated: Path | None = None,
) -> dict[str, float]:
    """Write the files of examples into `output` and return their numbers of lines.

    `splits`: the folders of the splits, one for each shard, of books or of conversations; `world`: the universe's world.json, for `kind:
    universe`; `generated`: examples to mix with conversations. Raise ValueError if a universe is needed and `world` is None.
    """
    if isinstance(config, ConversationExamples):
        from data.examples.gathered import gather_examples

        return gather_examples(splits, generated, output, config)
    counts = _made(splits, world, output, config) | _problems(output, config)
    if config.turns > 1:
        counts["instructions_train"] = join_exchanges(output / "instructions_train.jsonl", config.turns, config.seed)
    return counts


def _made(splits: Sequence[Path], world: Path | None, output: Path, config: UniverseExamples | CorpusExamples) -> dict[str, float]:
    """Write what is made from books or from the facts of a universe."""
    if isinstance(config, CorpusExamples):
        return corpus_examples(splits, output, config)
    if world is None:
        raise ValueError("examples.kind 'universe' needs the universe as a source; set examples.kind: corpus for other texts")
    from data.universe.examples import universe_examples

    counts = universe_examples(world, output, config)
    if config.skills:
        from data.skills.make import add_skills

        counts |= add_skills(world, output, config)
    if config.events is not None:
        from data.universe.events import add_events
        from data.universe.examples import read_facts, split_facts

        facts = read_facts(world, config)
        seen, _ = split_facts([fact for fact in facts if not fact.rare], config)
        counts |= add_events(splits, output, facts, seen, config.events)
    return counts


def _problems(output: Path, config: UniverseExamples | CorpusExamples) -> dict[str, float]:
    """Add the problems that are asked for, if any; return the numbers of lines of the files that changed."""
    if config.programs is None and not config.gym:
        return {}
    from data.problems.make import add_problems

    return add_problems(output, config.programs, config.gym, config.seed)

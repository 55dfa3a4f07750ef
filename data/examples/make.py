"""Makes examples of the configured kind: from a universe's facts, the books themselves, captioned pictures, or conversations.

Examples from conversations that were read, deduplicated, decontaminated and split, mixed with generated ones.

A conversation becomes a line of instructions, preferences or labels, by its kind. Lines are shuffled by a hash of the seed and the line,
so equal inputs give equal bytes. Every line lists in `books` the documents whose words it contains: a conversation is one itself. Questions
and test items come from the generated examples; without any, the files of questions are empty. sources.json counts what is learned from
each source. Memory holds the lines of one part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data.conversations.records import kind_of, transcript
from data.conversations.turns import join_exchanges
from data.documents.database import Limits
from data.documents.sharding import split_files
from data.documents.stream import merged
from data.examples.config import ConversationExamples, CorpusExamples, DocumentExamples, PictureExamples, SymbolExamples
from data.examples.corpus import corpus_examples
from data.examples.pictures import picture_examples
from data.synthetic.symbols import symbol_examples
from data.universe.config import UniverseExamples


def make_examples(
    splits: Sequence[Path],
    world: Path | None,
    output: Path,
    config: UniverseExamples | CorpusExamples | ConversationExamples | DocumentExamples | PictureExamples | SymbolExamples,
    generated: Path | None = None,
    passages: Sequence[Path] = (),
    taught: Path | None = None,
    parts: Sequence[Path] = (),
    contaminated: Path | None = None,
    limits: Limits | None = None,
) -> dict[str, float]:
    """Write the files of examples into `output` and return their numbers of lines.

    `splits`: the folders of the splits, one for each shard, of books or of conversations; `world`: the universe's world.json, for `kind:
    universe`; `generated`: examples to mix with conversations; `passages` and `taught`: indexes of passages, and what a teacher wrote
    about them; `parts`: the files with the documents' pictures; `contaminated`: which of what the teacher wrote holds text that is held
    out; `limits`: of the database that finds passages, needed where examples show any. Raise ValueError if a universe is needed and
    `world` is None.
    """
    if isinstance(config, DocumentExamples):
        from data.examples.documents import document_examples

        assert taught is not None, "a teacher wrote them"
        return document_examples(passages, taught, output, config, contaminated, limits)
    if isinstance(config, PictureExamples):
        return picture_examples(splits, parts, output, config)
    if isinstance(config, ConversationExamples):
        return gather_examples(splits, generated, output, config)
    if isinstance(config, SymbolExamples):
        return symbol_examples(splits, output, config.questions)
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
        from data.universe.skill_lessons import add_skills

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


KINDS = ("instructions", "preferences", "labels")
PARTS = ("train", "val")
QUESTIONS = ("questions_seen", "questions_heldout")
ASKED = ("questions_*.jsonl", "skills_test.jsonl")


def gather_examples(conversations: Sequence[Path], generated: Path | None, output: Path, config: ConversationExamples) -> dict[str, float]:
    """Write the files of examples into `output` and return their numbers of lines, and of those from conversations.

    `conversations`: the folders of their splits, one for each shard; `generated`: that of generated examples.
    Raise ValueError if no conversation is left for training.
    """
    output.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, float] = {}
    sources: dict[str, dict[str, int]] = {}
    for part in PARTS:
        lines: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for value in _read(split_files(conversations, part)):
            lines[kind_of(value)].append(json.dumps(value, ensure_ascii=False))
            source = sources.setdefault(value["topic"], {"documents": 0, "characters": 0})
            if part == "train":
                source["documents"] += 1
                source["characters"] += len(transcript(value))
        metrics |= {f"{kind}_{part}_read": float(len(lines[kind])) for kind in KINDS}
        if part == "train" and not any(lines.values()):
            raise ValueError(
                "no conversation of examples.sources is left for training; folio corpus show tells of each where it went, so correct the "
                "sources, or lower examples.validation_fraction"
            )
        for kind in KINDS:
            more = generated / f"{kind}_{part}.jsonl" if generated is not None else None
            lines[kind] += list(_generated(more)) if more is not None and more.is_file() else []
            lines[kind].sort(key=lambda line: hashlib.sha256(f"{config.seed}:{line}".encode()).digest())
            (output / f"{kind}_{part}.jsonl").write_text("".join(f"{line}\n" for line in lines[kind]), encoding="utf-8")
            metrics[f"{kind}_{part}"] = float(len(lines[kind]))
    (output / "sources.json").write_text(json.dumps(sources, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    asked = [path for name in ASKED for path in generated.glob(name)] if generated is not None else []
    for name in sorted({*QUESTIONS, *(path.stem for path in asked)}):
        content = (generated / f"{name}.jsonl").read_bytes() if generated is not None else b""
        (output / f"{name}.jsonl").write_bytes(content)
        metrics[name] = float(content.count(b"\n"))
    return metrics


def _read(split: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield the conversations of a split, each with the name of its source as topic."""
    for batch in merged(split, ("id", "source", "metadata")):
        for row in batch.to_pylist():
            told: dict[str, Any] = json.loads(json.loads(row["metadata"])["conversation"])
            yield {**told, "topic": row["source"], "books": [row["id"]]}


def _generated(path: Path) -> Iterator[str]:
    """Yield the lines of a file of generated examples. Those about a universe are made from its facts, and hold no document's words."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            value = json.loads(line)
            yield line if "books" in value else json.dumps({**value, "books": []}, ensure_ascii=False)

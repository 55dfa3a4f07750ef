"""Finds names of people by a pipeline of spaCy that the recipe names.

Only what recognizes entities is loaded, from files that are what the stage's key was computed from; code that a package brings along
doesn't run. Each paragraph is judged by itself, one of more than `LONGEST` characters in parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from data.documents.words import PARAGRAPH_BREAK
from data.filtering.config import KINDS, PiiConfig
from data.filtering.observed_files import NameModelError, ObservedFiles, find_name_model
from data.filtering.pii.kinds import TAGS, Span

LONGEST = 5_000
BATCH = 64
_BREAK = re.compile(PARAGRAPH_BREAK)


class NameFinder:
    """Finds what a pipeline labels as a person. What a tag stands for is never part of a name."""

    def __init__(self, pipeline: Any, config: PiiConfig) -> None:
        self._pipeline, self._labels = pipeline, frozenset(config.name_labels)
        self._tags = re.compile("|".join(re.escape(config.replacement.replace("{KIND}", TAGS[kind])) for kind in KINDS))
        self._judged: dict[str, tuple[Span, ...]] = {}

    def __call__(self, text: str, config: PiiConfig) -> Iterator[Span]:
        """Yield start and end of every name, in order."""
        parts = list(paragraphs(text))
        # Paragraphs that a round of redaction left as they were aren't judged again.
        judged = {part: self._judged[part] for _, part in parts if part in self._judged}
        new = list(dict.fromkeys(part for _, part in parts if part not in judged))
        for part, document in zip(new, self._pipeline.pipe(new, batch_size=BATCH), strict=True):
            people = ((entity.start_char, entity.end_char) for entity in document.ents if entity.label_ in self._labels)
            judged[part] = tuple(self._outside_tags(part, people))
        self._judged = judged
        for start, part in parts:
            yield from ((start + first, start + last) for first, last in judged[part])

    def _outside_tags(self, part: str, found: Iterator[Span]) -> Iterator[Span]:
        tags = [tag.span() for tag in self._tags.finditer(part)]
        for start, end in found:
            if part[start:end].strip() and not any(first < end and start < last for first, last in tags):
                yield start, end


def load_names(config: PiiConfig, files: ObservedFiles) -> NameFinder | None:
    """Return what finds names; None if they aren't looked for. Raise NameModelError or FileChanged if the pipeline can't be used."""
    model = find_name_model(config, files.root)
    if model is None:
        return None
    try:
        import spacy
    except ImportError as error:
        raise NameModelError(f"filter.pii.name={config.name} needs spacy: pip install -e '.[names]', or set it to off") from error
    for name, path in model.files.items():
        files.read(name, path)
    pipeline = spacy.load(model.folder, exclude=[name for name, used in model.parts.items() if not used])
    return NameFinder(pipeline, config)


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yield the paragraphs of a text and where they start; long ones in parts that end behind a line or a word."""
    at = 0
    for end in [*(match.start() for match in _BREAK.finditer(text)), len(text)]:
        while at < end:
            cut = end
            if end - at > LONGEST:
                breaks = (text.rfind(mark, at, at + LONGEST) + 1 for mark in ("\n", " "))
                cut = next((place for place in breaks if place > at), at + LONGEST)
            if text[at:cut].strip():
                yield at, text[at:cut]
            at = cut

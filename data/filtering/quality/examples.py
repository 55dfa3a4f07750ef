"""Finds, reads and chunks the example texts that a user calls good or bad.

Files come in the order of their names, each once. A file that is missing, empty, not text or of another kind raises an error that names it;
none is skipped. Memory holds all examples.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from data.filtering.observed_files import ObservedFiles
from data.filtering.quality.config import ClassifierConfig
from data.sources.config import FilesSource
from data.sources.decode import NotText, decode
from data.sources.files import find_files
from data.sources.formats import Format

FORMATS: tuple[Format, ...] = ("txt", "md", "jsonl")
SIDES = ("negative", "positive")


class ExampleError(ValueError):
    """An example can't be used; the message names the file."""


def example_files(config: ClassifierConfig, root: Path) -> dict[str, dict[str, Path]]:
    """Return the examples as {side: {name: file}}. Raise ExampleError for a file on both sides, SourceError if a glob matches nothing."""
    sides = {side: find_files(FilesSource(name=side, paths=getattr(config, side), formats=FORMATS), root) for side in SIDES}
    both = set(sides["positive"].values()) & set(sides["negative"].values())
    if both:
        raise ExampleError(f"filter.quality: {min(both).name} is both a positive and a negative example; remove it from one")
    return sides


def example_digests(
    config: ClassifierConfig, root: Path, shard: object, digest_of: Callable[[Iterable[Path]], Mapping[Path, str]]
) -> dict[str, str]:
    """Return {side/file: digest} of the examples, for the key of the quality stage."""
    files = {f"{side}/{name}": path for side, found in example_files(config, root).items() for name, path in found.items()}
    digests = digest_of(files.values())
    return {name: digests[path] for name, path in files.items()}


def read_texts(name: str, path: Path, files: ObservedFiles) -> Iterator[str]:
    """Yield the texts of a file, which errors call `name`. Raise ExampleError if one can't be used."""
    try:
        content, _ = decode(files.read(name, path))
    except NotText as error:
        raise ExampleError(f"filter.quality: {name} can't be an example: {error}") from error
    if path.suffix.lower() != ".jsonl":
        yield content
        return
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise ExampleError(f'filter.quality: {name}, line {number}: not a JSON object with a "text" ({error!r})') from error
        if not isinstance(text, str) or not text.strip():
            raise ExampleError(f"filter.quality: {name}, line {number}: its text is empty or not a string")
        yield text


def chunks(text: str, size: int, most: int) -> list[str]:
    """Return at most `most` chunks of `size` characters, spread evenly through a text; all of it if it has no more than that."""
    count = max(1, -(-len(text) // size))
    if count <= most:
        return [text[k * size : (k + 1) * size] for k in range(count)]
    return [text[start : start + size] for start in ((len(text) - size) * (2 * k + 1) // (2 * most) for k in range(most))]

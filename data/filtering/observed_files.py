"""Files that a recipe names besides its sources: block lists, examples, and the model that finds names.

What is read is, byte for byte, what the stage's key was computed from; a file that changed since raises an error.

The pipeline of spaCy that finds names of people, in an installed package or in a folder: its files and parts. Cheap to import.

Finds, reads and chunks the example texts that a user calls good or bad.

Files come in the order of their names, each once. A file that is missing, empty, not text or of another kind raises an error that names it;
none is skipped. Memory holds all examples.
"""

from __future__ import annotations

import configparser
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from data.filtering.config import ClassifierConfig, FilterConfig, PiiConfig
from data.sources.config import FilesSource
from data.sources.decode import NotText, decode
from data.sources.files import DigestOf, find_files
from data.sources.formats import Format

SETTINGS, DESCRIPTION = "config.cfg", "meta.json"
RECOGNIZERS = frozenset({"ner", "entity_ruler"})
UNDERLYING = frozenset({"tok2vec", "transformer", "curated_transformer"})


class NameModelError(ValueError):
    """The recipe's `name_model` is not there, or can't find names; the message says which and the way out."""


class _Description(BaseModel, frozen=True, defer_build=True):
    """The part of a pipeline's description that is read: the labels that each component gives."""

    labels: dict[str, tuple[str | int, ...]]


@dataclass(frozen=True)
class NameModel:
    """A pipeline. `parts`: the names of its components, and whether each is used, to recognize names or below that."""

    name: str
    folder: Path
    parts: dict[str, bool]

    @property
    def files(self) -> dict[str, Path]:
        """Every file of the pipeline, by its name in the recipe and its path inside."""
        return {
            f"{self.name}/{path.relative_to(self.folder).as_posix()}": path for path in sorted(self.folder.rglob("*")) if path.is_file()
        }


def find_name_model(config: PiiConfig, root: Path) -> NameModel | None:
    """Return the pipeline; None if names aren't looked for. Raise NameModelError if it isn't there or labels nobody as a person."""
    if not config.enabled or config.name == "off":
        return None
    folder = _folder(config.name_model, root)
    settings = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        settings.read_string((folder / SETTINGS).read_text("utf-8"))
        described = _Description.model_validate_json((folder / DESCRIPTION).read_bytes()).labels
        factories = {name: settings[f"components.{name}"].get("factory", "").strip('"') for name in described}
    except (OSError, ValueError, KeyError, configparser.Error) as error:
        raise NameModelError(f"filter.pii.name_model: {folder} is no pipeline of spaCy ({error}); name another") from error
    labels = {str(label) for name, factory in factories.items() if factory in RECOGNIZERS for label in described[name]}
    if not labels & set(config.name_labels):
        raise NameModelError(
            f"filter.pii.name_model: {config.name_model} labels {', '.join(sorted(labels)) or 'nothing'}, and pii.name_labels are "
            f"{', '.join(config.name_labels)}; name one of its labels, or another pipeline"
        )
    return NameModel(config.name_model, folder, {name: factory in RECOGNIZERS | UNDERLYING for name, factory in factories.items()})


def _folder(model: str, root: Path) -> Path:
    """Return the folder that holds the pipeline's settings. A package is looked up, not imported."""
    if not model.isidentifier():
        if not (root / model / SETTINGS).is_file():
            raise NameModelError(f"filter.pii.name_model: {root / model} has no {SETTINGS}; name a folder that nlp.to_disk wrote")
        return root / model
    spec = find_spec(model)
    places = spec.submodule_search_locations if spec else None
    found = [path.parent for place in places or () for path in sorted(Path(place).glob(f"*/{SETTINGS}"))]
    if len(found) != 1:
        raise NameModelError(
            f"filter.pii.name_model: no installed package {model} holds a pipeline of spaCy; install it, as by "
            f"`python -m spacy download {model}`, or write ./{model} for a folder"
        )
    return found[0]


class FileChanged(OSError):
    """A file has changed since the stage's key was computed; the message names it."""


@dataclass(frozen=True)
class ObservedFiles:
    """The files under `root`. `observed`: their sha256 by name when the key was computed; None: don't check."""

    root: Path
    observed: Mapping[str, str] | None = None

    def read(self, name: str, path: Path | None = None) -> bytes:
        """Return the content of a file: `path`, or `name` under the root. Raise FileChanged, or OSError if it can't be read."""
        content = (path or self.root / name).read_bytes()
        if self.observed is not None and hashlib.sha256(content).hexdigest() != self.observed.get(name):
            raise FileChanged(f"{name} changed during the run; start the run again")
        return content


class BlockListError(ValueError):
    """A block list can't be read, or has a useless entry; the message names it."""


def observed_digests(config: FilterConfig, root: Path, shard: object, digest_of: DigestOf) -> dict[str, str]:
    """Return {file as the recipe names it: digest} for the key of the filter stage: block lists, and the model that finds names.

    Raise BlockListError or NameModelError for one that is missing.
    """
    files = {name: root / name for name in sorted({*config.blocked.document_files, *config.blocked.phrase_files})}
    for name, path in files.items():
        if not path.is_file():
            raise BlockListError(f"filter.blocked: there is no file {name!r} under {root}; correct the name, or put the list there")
    if names := find_name_model(config.pii, root):
        files |= names.files
    digests = digest_of(files.values())
    return {name: digests[path] for name, path in files.items()}


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


def example_digests(config: ClassifierConfig, root: Path, shard: object, digest_of: DigestOf) -> dict[str, str]:
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

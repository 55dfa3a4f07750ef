"""The pipeline of spaCy that finds names of people, in an installed package or in a folder: its files and parts. Cheap to import."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from data.filtering.pii.config import PiiConfig

SETTINGS, DESCRIPTION = "config.cfg", "meta.json"
RECOGNIZERS = frozenset({"ner", "entity_ruler"})
UNDERLYING = frozenset({"tok2vec", "transformer", "curated_transformer"})


class NameModelError(ValueError):
    """The recipe's `name_model` is not there, or can't find names; the message says which and the way out."""


class _Description(BaseModel, frozen=True, defer_build=True):
    """What is read of a pipeline's description: the labels that each component gives."""

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

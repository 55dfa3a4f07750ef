"""Write the reference of every recipe key from the schema: python -m flows.recipe.reference [--check]

Keys stand in a recipe's order, each with type, default, unit and meaning, all from its field, so the reference can't say what the code
doesn't. Sections are written out where they first occur and linked from elsewhere; of a section that has kinds, the keys of all kinds come
first. `--check` writes nothing and exits with 1 if flows/REFERENCE.md is not what the schema says.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.recipe.commented_yaml import REQUIRED, default_of, scalar
from flows.recipe.schema import Recipe
from model.evaluation.metrics import EVALUATED

FILE = Path(__file__).parents[1] / "REFERENCE.md"
COMMAND = "python -m flows.recipe.reference"
HEAD = f"""# Every key of a recipe

Written by `{COMMAND}` from the schema; edit the fields' descriptions, not this file. `folio recipe show RECIPE SECTION`
prints the same with a recipe's own values. `extends: RECIPE` builds on another recipe; `sft`, `dpo` and `quantize` are short for entries of
`tuning` and of `release.variants`. [The guide](README.md) explains recipes.
"""
METRICS_TITLE = "Metrics that gates may bound"
METRICS_HEAD = (
    "Measured of a model, behind its name and a dot, as in `base.val.bits_per_byte`; with `pack.by_source` bits_per_byte also of "
    "each source. A bound on another name is refused, with the names that there are"
)
NAMES: dict[Any, str] = {str: "text", bool: "yes or no", int: "integer", float: "number", Any: "any"}
BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
# A description ends in its unit after a semicolon, and so do remarks: only these last clauses are units.
UNITS = re.compile(
    "bits|bytes|characters|chunks|count|count, even|different words|dimensionless|documents|factor|fraction|fraction of .*|hits|hours|"
    "lines|megabytes|minutes|multiple of the model's|name|names|nats|nats a token|numbers|occurrences|path|pieces|probability|ratio|rounds|"
    "rows|seconds|sentences|steps|the metric's unit, or a ratio|tokens|turns|windows|words|words between white space"
)
TYPES = {"text", "yes or no", "integer", "number"}  # last clauses that only repeat the type
LONGEST_DEFAULT = 60


def reference() -> str:
    """Return the reference as Markdown. Raise ValueError for a key without a meaning, or of a type that it has no word for."""
    return Writer().write()


class Writer:
    """The reference as it is written, with the headings under which sections have been written out."""

    def __init__(self) -> None:
        self._lines = [HEAD]
        self._written: dict[tuple[type[BaseModel], ...], str] = {}

    def write(self) -> str:
        """Return the whole reference: plain keys of the recipe that follow each other share a heading."""
        plain: list[str] = []
        for name, field in Recipe.model_fields.items():
            kinds = models_in(field.annotation)
            if not kinds or kinds in self._written:
                plain.append(name)
                continue
            self._plain(plain)
            plain = []
            self._section(name, field, 2)
        self._plain(plain)
        self._metrics()
        return "\n".join(self._lines).rstrip("\n") + "\n"

    def _metrics(self) -> None:
        self._heading(METRICS_TITLE, 2, METRICS_HEAD)
        self._lines += ["| metric | unit | better | written with | compared by rows or questions |", "|---|---|---|---|---|"]
        for metric in EVALUATED:
            endings = ", ".join(code(ending) for ending in metric.endings if ending)
            cells = (code(metric.name), metric.unit, "lower" if metric.lower else "higher", endings, "yes" if metric.paired else "")
            self._lines.append(f"| {' | '.join(cells)} |")

    def _plain(self, names: list[str]) -> None:
        if names:
            self._heading(", ".join(names), 2, "")
            self._keys("", Recipe, names, 2)

    def _section(self, path: str, field: FieldInfo, level: int) -> None:
        """Write a section out, and then those inside it that have kinds or are lists."""
        kinds = models_in(field.annotation)
        self._written[kinds] = path
        # Of several kinds, the summary of one says nothing of the others.
        self._heading(path, level, field.description or (summary(kinds[0]) if len(kinds) == 1 else ""))
        if len(kinds) == 1:
            self._keys(path, kinds[0], list(kinds[0].model_fields), level)
            return
        if default := kind_of(default_of(field)):
            self._lines.append(f"By default of kind `{default}`.\n")
        shared = [name for name in kinds[0].model_fields if name != "kind" and same_in_all(name, kinds)]
        if shared:
            self._lines.append("Keys of every kind:\n")
            self._keys(path, kinds[0], shared, level)
        for model in kinds:
            kind = model.model_fields["kind"]
            label = get_args(kind.annotation)[0]
            self._heading(f"{path}, kind {label}", level + 1, f"{summary(model) or kind.description}")
            self._keys(path, model, [name for name in model.model_fields if name not in {*shared, "kind"}], level + 1)

    def _keys(self, path: str, model: type[BaseModel], names: Sequence[str], level: int) -> None:
        rows: list[str] = []
        later: list[tuple[str, FieldInfo]] = []
        self._rows(path, "", model, names, rows, later)
        self._table(rows)
        for inside, field in later:
            if models_in(field.annotation) not in self._written:
                self._section(inside, field, min(level + 1, 4))

    def _rows(
        self, path: str, prefix: str, model: type[BaseModel], names: Sequence[str], rows: list[str], later: list[tuple[str, FieldInfo]]
    ) -> None:
        """Add a row for each key, with those of a section inside it that has neither kinds nor entries under a dotted name."""
        for name in names:
            field = model.model_fields[name]
            kinds = models_in(field.annotation)
            if len(kinds) == 1 and kinds not in self._written and field.annotation is kinds[0] and "kind" not in kinds[0].model_fields:
                self._written[kinds] = path
                self._rows(path, f"{prefix}{name}.", kinds[0], list(kinds[0].model_fields), rows, later)
                continue
            if not kinds:
                rows.append(row(f"{prefix}{name}", field, model))
                continue
            if kinds not in self._written:
                # Announced before it is written, so that a second key of the same sections links to the first.
                later.append((f"{path}.{prefix}{name}", field))
            there = self._written.get(kinds) or next(where for where, one in later if models_in(one.annotation) == kinds)
            rows.append(row(f"{prefix}{name}", field, model, f"; keys: [{there}](#{anchor(there)})"))

    def _heading(self, title: str, level: int, meaning: str) -> None:
        self._lines.append(f"{'#' * level} {title}\n")
        if meaning:
            self._lines.append(f"{cell(meaning[:1].upper() + meaning[1:]).rstrip('.')}.\n")

    def _table(self, rows: list[str]) -> None:
        if rows:
            self._lines += ["| key | type | default | unit | meaning |", "|---|---|---|---|---|", *rows, ""]


def row(name: str, field: FieldInfo, model: type[BaseModel], link: str = "") -> str:
    """Return a key's line of a table. Raise ValueError if the key has no meaning."""
    kinds = models_in(field.annotation)
    meaning = (field.description or (summary(kinds[0]) if kinds else "")).strip()
    if not meaning:
        raise ValueError(f"{model.__name__}.{name} has no description, so the reference can't explain it; give its Field one.")
    said, _, last = meaning.rpartition("; ")
    unit = last if said and UNITS.fullmatch(last) else ""
    if said and last in TYPES:
        meaning = said
    return f"| {code(name)} | {type_name(field, model, name)} | {default_text(field)} | {unit} | {cell(said if unit else meaning)}{link} |"


def default_text(field: FieldInfo) -> str:
    """Return a key's default: a value, a section's kind, or where a long one can be seen."""
    default = default_of(field)
    if default is REQUIRED:
        return "required"
    if isinstance(default, BaseModel):
        return code(kind_of(default)) if kind_of(default) else "its defaults"
    shown = scalar(default)
    return code(shown) if len(shown) <= LONGEST_DEFAULT else "see `folio recipe show`"


def type_name(field: FieldInfo, model: type[BaseModel], name: str) -> str:
    """Return a field's type in words, with the bounds of a number. Raise ValueError for a type that has no word."""
    words = _words(field.annotation)
    if words is None:
        raise ValueError(f"{model.__name__}.{name}: no word for the type {field.annotation}; give NAMES in {__name__} one.")
    limits = [f"{sign} {scalar(getattr(one, key))}" for one in field.metadata for key, sign in BOUNDS.items() if hasattr(one, key)]
    return cell(f"{words} {', '.join(limits)}".strip())


def _words(kind: Any) -> str | None:
    origin, inside = get_origin(kind), get_args(kind)
    if kind in NAMES:
        return NAMES[kind]
    if origin is Annotated:
        return _words(inside[0])
    if origin is Literal:
        return ", ".join(f"`{one}`" if isinstance(one, str) else scalar(one) for one in inside)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "section"
    if origin in (Union, types.UnionType):
        parts = list(dict.fromkeys(_words(one) for one in inside if one is not type(None)))
        null = ["null"] if type(None) in inside else []
        return None if None in parts else " or ".join([*(part for part in parts if part), *null])
    if origin in (tuple, list, frozenset, set):
        entries = list(dict.fromkeys(_words(one) for one in inside if one is not Ellipsis))
        words = " and ".join(entry for entry in entries if entry)
        return None if None in entries else f"list of {'sections' if words == 'section' else words}"
    if origin in (dict, Mapping):
        values = [_words(one) for one in inside]
        return None if None in values else f"mapping of {values[0]} to {values[1]}"
    return None


def models_in(kind: Any) -> tuple[type[BaseModel], ...]:
    """Return the sections that a type names, in its order."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return (kind,)
    inside = get_args(kind)[:1] if get_origin(kind) is Annotated else get_args(kind)
    return tuple(dict.fromkeys(model for one in inside for model in models_in(one)))


def same_in_all(name: str, kinds: Sequence[type[BaseModel]]) -> bool:
    """Return whether every kind has the key with the same type, bounds, default and meaning."""
    if not all(name in model.model_fields for model in kinds):
        return False
    return len({(row(name, model.model_fields[name], model), models_in(model.model_fields[name].annotation)) for model in kinds}) == 1


def kind_of(value: Any) -> str:
    """Return a section's kind; "" for one that has none."""
    return str(getattr(value, "kind", "")) if isinstance(value, BaseModel) else ""


def summary(model: type[BaseModel]) -> str:
    """Return the first line of a section's docstring."""
    return next(iter((model.__doc__ or "").strip().splitlines()), "")


def anchor(title: str) -> str:
    """Return the fragment by which GitHub links to a heading."""
    return "".join("-" if letter == " " else letter for letter in title.lower() if letter.isalnum() or letter in " -_")


def code(text: str) -> str:
    """Return text as code inside a table's cell."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}".replace("|", "\\|")


def cell(text: str) -> str:
    """Return text as prose inside a table's cell; what stands between backticks is code already."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if at % 2 else part.replace("<", "&lt;").replace("*", "\\*") for at, part in enumerate(parts))


def main(arguments: Sequence[str]) -> int:
    """Write the file, or check it. Return the exit code."""
    text = reference()
    if "--check" not in arguments:
        FILE.write_text(text, encoding="utf-8")
    elif not FILE.is_file() or FILE.read_text(encoding="utf-8") != text:
        print(f"{FILE} is not what the schema says; write it again: {COMMAND}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

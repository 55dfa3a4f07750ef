"""The configuration of synthetic text: from templates, by a model, or sequences of symbols.

A grammar of templates and lists as a numbered set of texts: text n is made without making the others.

Numbers 0 to `size` - 1 cover every way to fill the slots, each once; two ways may give the same text. A slot without a list, a cycle of
lists, a list that no slot names and an unbalanced brace raise ValueError. Opening a grammar takes time in its size, making a text in the
text's. Numbers may be far larger than a machine word.

The files that synthetic text is made from: an exported model's and a file of prompts.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, Field, JsonValue, model_validator

from data.documents.sharding import CorpusShard

Part = tuple[str, str]
"""Literal text, and the list whose entry follows it ("" for none)."""


@dataclass(frozen=True)
class Grammar:
    """`templates` with {slots}, filled from `lists`, whose entries may hold slots, too."""

    templates: Sequence[str]
    lists: Mapping[str, Sequence[str]]

    @cached_property
    def size(self) -> int:
        """How many ways there are to fill the slots. Raises ValueError for a grammar that can't be used."""
        total = self._total(self._templates)
        if unused := sorted(self.lists.keys() - self._sizes.keys()):
            raise ValueError(f"list {unused[0]!r} is in no slot of a template or of a list that one needs; use it, or remove it")
        return total

    def text(self, number: int) -> str:
        """Return text `number`, from 0 to size - 1."""
        return self._pick(self._templates, number)

    @cached_property
    def _templates(self) -> list[list[Part]]:
        return [list(_parse(template, "a template")) for template in self.templates]

    @cached_property
    def _entries(self) -> dict[str, list[list[Part]]]:
        return {name: [list(_parse(entry, f"list {name!r}")) for entry in entries] for name, entries in self.lists.items()}

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return {}

    def _total(self, patterns: list[list[Part]], within: tuple[str, ...] = ()) -> int:
        return sum(math.prod(self._size_of(slot, within) for _, slot in pattern if slot) for pattern in patterns)

    def _size_of(self, slot: str, within: tuple[str, ...]) -> int:
        if slot in within:
            cycle = " -> ".join((*within[within.index(slot) :], slot))
            raise ValueError(f"lists refer back to themselves ({cycle}), which makes texts without end; break the cycle")
        if not self.lists.get(slot):
            known = ", ".join(sorted(self.lists)) or "none"
            raise ValueError(
                f"slot {{{slot}}} names no list with entries (lists: {known}); add it, or write {{{{{slot}}}}} for plain braces"
            )
        if slot not in self._sizes:
            self._sizes[slot] = self._total(self._entries[slot], (*within, slot))
        return self._sizes[slot]

    def _pick(self, patterns: list[list[Part]], number: int) -> str:
        for pattern in patterns:
            ways = math.prod(self._sizes[slot] for _, slot in pattern if slot)
            if number < ways:
                return "".join(self._fill(pattern, number))
            number -= ways
        raise IndexError(f"these templates make {self.size} texts, numbered from 0; the number asked for is too large by {number + 1}")

    def _fill(self, pattern: list[Part], number: int) -> Iterator[str]:
        for literal, slot in pattern:
            yield literal
            if slot:
                number, chosen = divmod(number, self._sizes[slot])
                yield self._pick(self._entries[slot], chosen)


def _parse(pattern: str, where: str) -> Iterator[Part]:
    try:
        for literal, slot, format_spec, conversion in string.Formatter().parse(pattern):
            if slot is not None and (not slot.isidentifier() or format_spec or conversion):
                raise ValueError(f"a slot is {{name}} and nothing more, not {{{slot}}}")
            yield literal, slot or ""
    except ValueError as error:
        raise ValueError(f"{where} can't be read: {pattern[:80]!r}: {error}") from error


# For paths: the files behind them count in the key, by name and content.
NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}


class TemplatesMaker(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Texts generated from templates in the recipe."""

    kind: Literal["templates"] = Field("templates", description="texts from templates with {slots}, filled from lists of that name")
    templates: tuple[str, ...] = Field(
        min_length=1, description="templates of texts; {name} stands for an entry of the list `name`, {{ and }} for braces"
    )
    lists: Mapping[str, tuple[Annotated[str, Field(min_length=1)], ...]] = Field(
        {}, description="entries of each list; an entry may hold slots of other lists, but no cycle of lists"
    )
    count: int = Field(ge=1, description="how many different texts; refused if the templates make fewer")
    seed: int = Field(0, ge=0, description="chooses the texts")

    @property
    def grammar(self) -> Grammar:
        """The grammar of the templates and lists."""
        return Grammar(self.templates, self.lists)

    @model_validator(mode="after")
    def _has_enough_texts(self) -> TemplatesMaker:
        size = self.grammar.size
        if self.count > size:
            raise ValueError(
                f"count={self.count} asks for more texts than these templates and lists make: {size}; add entries, or lower count"
            )
        return self


class ModelMaker(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Texts written by a model that folio exported earlier."""

    kind: Literal["model"] = Field("model", description="texts that an exported model writes, each from a prompt")
    directory: str = Field(
        min_length=1, json_schema_extra=NOT_IDENTITY, description="an exported model's directory, relative to the recipe's root"
    )
    prompts: tuple[str, ...] = Field((), description="how texts begin; an empty prompt leaves the whole text to the model")
    prompts_file: str = Field(
        "",
        json_schema_extra=NOT_IDENTITY,
        description="a text file with one prompt per line, relative to the recipe's root; empty: use `prompts`",
    )
    samples: int = Field(1, ge=1, description="texts from each prompt; count")
    max_tokens: int = Field(512, ge=1, description="most tokens after the prompt; the context length limits them, too; tokens")
    temperature: float = Field(
        0.8,
        ge=0.0001,
        le=100,
        allow_inf_nan=False,
        description="divides the logits: lower is likelier, higher more varied; number",
    )
    top_p: float = Field(0.95, gt=0, le=1, description="sample from the fewest likeliest tokens of at least this probability; fraction")
    seed: int = Field(0, ge=0, description="seed of the sampling")

    @model_validator(mode="after")
    def _has_prompts(self) -> ModelMaker:
        if bool(self.prompts) == bool(self.prompts_file):
            given = "both are" if self.prompts else "none is"
            raise ValueError(f"prompts come from `prompts` or from `prompts_file`, but {given} given; set exactly one of them")
        return self


SymbolTask = Literal["recall", "induction", "copying", "selective_copying", "parity", "permutations"]
MOST_PERMUTED = 5  # the smallest group that no finite depth of attention or of a diagonal state is known to follow
DRAWS = 50  # most sequences drawn for each one that is wanted, since equal ones are drawn again


class SymbolsMaker(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Sequences of symbols whose ends follow from their beginnings: the field's cheap probes of what an architecture can do."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "symbols": tuple(f"task={task}" for task in get_args(SymbolTask) if task != "parity"),
        "queries": tuple(f"task={task}" for task in ("recall", "parity", "permutations")),
        "blanks": ("task=selective_copying",),
    }

    kind: Literal["symbols"] = Field("symbols", description="sequences of symbols that have one right end")
    task: SymbolTask = Field(
        description="what the end is. recall: the values of keys that stood before (multi-query associative recall); induction: what "
        "followed a symbol before; copying: all symbols again; selective_copying: those among blanks; parity: whether the ones are even "
        "(0) or odd (1); permutations: which one they make, one after the other"
    )
    symbols: int = Field(
        32,
        ge=2,
        le=4096,
        description="different symbols; of recall as many keys and as many values; of permutations how many things change places, at most "
        f"{MOST_PERMUTED}; count",
    )
    shortest: int = Field(4, ge=1, le=4096, description="fewest symbols before the end, of recall pairs; count")
    longest: int = Field(16, ge=2, le=4096, description="most of them; every length from the fewest on is as likely; count")
    queries: int = Field(
        4,
        ge=1,
        le=4096,
        description="recall: keys whose values are asked for, at most all; parity and permutations: sequences in a text, the last of which "
        "is the longest; count",
    )
    blanks: int = Field(16, ge=1, le=4096, description="blanks among the symbols; count")
    count: int = Field(4096, ge=8, le=1_000_000, description="different sequences; count")
    seed: int = Field(0, ge=0, description="seed of the sequences")

    @model_validator(mode="after")
    def _can_be_drawn(self) -> SymbolsMaker:
        if self.shortest > self.longest:
            raise ValueError(f"shortest={self.shortest} is more than longest={self.longest}; lower it")
        if self.task == "permutations" and self.symbols > MOST_PERMUTED:
            raise ValueError(f"symbols={self.symbols} have too many permutations to name each; set 2 to {MOST_PERMUTED}")
        if self.task == "recall" and self.longest > self.symbols:
            raise ValueError(f"longest={self.longest} pairs need as many keys, and symbols={self.symbols}; raise it, or lower longest")
        return self


class SyntheticSource(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Text written by a machine: marked synthetic in every row, at most `split.synthetic_share` of train, never in validation or test.

    Sequences of symbols stand for no one's text, so they are split as other texts are.
    """

    kind: Literal["synthetic"] = Field("synthetic", description="text written by a machine")
    name: str = Field("synthetic", pattern="^[^/]+$", description="source name, part of its documents' ids; no slash")
    maker: Annotated[TemplatesMaker | ModelMaker | SymbolsMaker, Field(discriminator="kind")] = Field(description="what writes the texts")
    licence: str = Field(
        "generated by a machine",
        json_schema_extra=NOT_IDENTITY,
        description="terms under which the texts may be used, for the model card; text",
    )

    @property
    def label(self) -> str:
        """The source's name in its documents."""
        return self.name


DigestOf = Callable[[Iterable[Path]], Mapping[Path, str]]


def synthetic_state(config: SyntheticSource, root: Path, shard: CorpusShard | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {model/relative path, or prompts: digest} for the stage's key; {} for templates.

    Raise FileNotFoundError or NotADirectoryError naming the path."""
    if not isinstance(config.maker, ModelMaker):
        return {}
    directory = model_directory(config.maker, root)
    files = {f"model/{path.relative_to(directory).as_posix()}": path for path in sorted(directory.rglob("*")) if path.is_file()}
    if config.maker.prompts_file:
        files["prompts"] = _require_path(root / config.maker.prompts_file, "prompts_file")
    digests = digest_of(files.values())
    return {name: digests[path] for name, path in files.items()}


def model_directory(maker: ModelMaker, root: Path) -> Path:
    """Return the model's directory. Raise FileNotFoundError or NotADirectoryError naming it."""
    directory = _require_path(root / maker.directory, "directory")
    if not directory.is_dir():
        raise NotADirectoryError(f"synthetic source: directory {directory} is a file; name the directory that folio exported")
    return directory


def read_prompts(maker: ModelMaker, root: Path) -> Iterator[str]:
    """Yield a maker's prompts, from the recipe or from the lines of its file that aren't blank."""
    if not maker.prompts_file:
        yield from maker.prompts
        return
    with (root / maker.prompts_file).open(encoding="utf-8-sig") as stream:
        yield from (line.rstrip("\r\n") for line in stream if line.strip())


def _require_path(path: Path, key: str) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"synthetic source: {key} {path} does not exist; correct it in ingest.sources")
    return path

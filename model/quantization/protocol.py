"""The interface of a kind of quantization; no other file asks which kind it is.

A kind is a config, tagged by `kind`, that builds its quantizer. To add a kind, write its config and list it in
`config.py`. The recipe, the chapter, the card, the gates, the report and `open_model` work from this protocol alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from pydantic import BaseModel, Field

from model.names import NOT_IDENTITY
from model.networks.directory import CONFIG, read_entry, read_fields

if TYPE_CHECKING:
    from model.networks.base import NetworkBase
    from model.networks.network import Network


def read_quantization(directory: Path) -> dict[str, Any] | None:
    """Return the quantization entry of `config.json`; None for a model in full precision."""
    return read_entry(directory, "quantization")


def write_quantization(model_dir: Path, output: Path, entry: dict[str, Any], **more: Any) -> None:
    """Write config.json of a quantized model: `model_dir`'s with the entry and `more` fields added."""
    fields = read_fields(model_dir / CONFIG)
    fields |= {"quantization": entry, **more}
    (output / CONFIG).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class Use(NamedTuple):
    """Instructions for using a form with a tool: the tool, the language of the code (sh or python), and the code."""

    tool: str
    language: str
    code: str


class Quantizer(Protocol):
    """Turns a model directory into a smaller one, and loads what it wrote."""

    @property
    def label(self) -> str:
        """The name of this kind in the model card."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that it writes next to config.json."""

    @property
    def opened_by(self) -> tuple[str, ...]:
        """Tools that open the directory."""

    @property
    def runs_in(self) -> str:
        """The tool that users run it in: folio, transformers, llama.cpp or onnxruntime. It is measured there."""

    def uses(self, folder: str) -> tuple[Use, ...]:
        """Return how other tools use it from the release's directory, where it is in `folder`."""

    def write(self, model_dir: Path, output: Path, rows: Path | None, tokenizer: Path | None) -> dict[str, float]:
        """Write the quantized model of `model_dir` into `output` and return its metrics.

        `rows`: the packed training rows, for a kind that calibrates; `tokenizer`: its directory, for a kind that tokenizes; else None.
        config.json gets an entry `quantization` with `format`.
        """

    def load(self, directory: Path) -> Network:
        """Load the network of a directory that this kind wrote, on the CPU, in evaluation mode. Raise ModelError for a damaged one."""


class QuantizerConfig(Protocol):
    """The settings of one quantized form of a model, as a recipe gives them."""

    FORMAT: ClassVar[str]
    """Value of `quantization.format` in config.json, which identifies a directory."""
    CALIBRATES: ClassVar[bool]
    """Whether `write` needs rows."""
    TOKENIZES: ClassVar[bool]
    """Whether `write` needs the tokenizer."""
    KEEPS_HEADS: ClassVar[bool]
    """Whether it holds heads that predict further ahead, as folio alone computes them; without, it is made of the network alone."""

    LIBRARIES: ClassVar[dict[str, str]]
    """The modules that it imports beyond the usual ones, and the extra of folio that brings each."""

    @property
    def name(self) -> str:
        """Name of this form: its folder in the release, and the first part of its metrics' names."""

    def refusal(self, network: NetworkBase, tokenizer: str) -> str:
        """Return why a network with this kind of tokenizer can't take this form, and the way out; empty if it can."""

    def tokenizer_refusal(self, tokenizer: Path) -> str:
        """Return why this form can't have the tokenizer in a tokenizer.json; empty if it can."""

    def build(self) -> Quantizer:
        """Return the quantizer that these settings describe."""

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> QuantizerConfig:
        """Return the settings that config.json's entry `quantization` records."""


class VariantBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings of one quantized form. By default a kind needs the model's directory alone, and takes every network."""

    CALIBRATES: ClassVar[bool] = False
    TOKENIZES: ClassVar[bool] = False
    KEEPS_HEADS: ClassVar[bool] = False
    LIBRARIES: ClassVar[dict[str, str]] = {}

    most_bits_per_byte: float = Field(
        1.1, ge=1, json_schema_extra=NOT_IDENTITY, description="most bits per byte that it is released with; multiple of the model's"
    )
    most_kl: float = Field(
        0.5, ge=0, json_schema_extra=NOT_IDENTITY, description="largest divergence from the model that it is released with; nats a token"
    )
    overrule: str | None = Field(
        None,
        min_length=8,
        json_schema_extra=NOT_IDENTITY,
        description="release it although one of these fails, for this reason, which the card tells; text",
    )

    def refusal(self, network: NetworkBase, tokenizer: str) -> str:
        """Return why a network with this kind of tokenizer can't take this form, and the way out; empty if it can."""
        return ""

    def tokenizer_refusal(self, tokenizer: Path) -> str:
        """Return why this form can't have the tokenizer in a tokenizer.json; empty if it can."""
        return ""

"""A model in a Hugging Face directory on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from model.networks.directory import CONFIG, model_files, read_config
from model.networks.errors import ModelError
from model.opening.source import NOT_IDENTITY, Opened, OpenModelConfig, Shape, Surroundings, file_digests
from model.opening.stated import stated_licence

# Of these, those that are there; weights are safetensors.
BESIDE = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
    "token_roles.json",
    "README.md",
)


class FolderModel(OpenModelConfig):
    """A directory that transformers, or folio, wrote."""

    kind: Literal["folder"] = Field("folder", description="a Hugging Face directory on this machine")
    path: str = Field(
        min_length=1, json_schema_extra=NOT_IDENTITY, description="the directory, relative to the recipe's root: config.json, safetensors "
        "and the tokenizer's files; path"
    )  # fmt: skip

    @property
    def title(self) -> str:
        return Path(self.path).name

    def local_files(self, root: Path) -> list[Path]:
        directory = root / self.path
        return [*model_files(directory), *(directory / name for name in BESIDE if (directory / name).is_file())]

    def shape(self, around: Surroundings) -> Shape:
        return Shape(*read_config(around.root / self.path))

    def open(self, around: Surroundings) -> Opened:
        directory = around.root / self.path
        if not (directory / "tokenizer.json").is_file():
            raise ModelError(f"{directory / 'tokenizer.json'} does not exist: a model needs its own tokenizer; put it there")
        files = {path.name: path for path in self.local_files(around.root) if path.name != CONFIG}
        origin = {"kind": self.kind, "name": directory.resolve().name, "revision": "", "sha256": file_digests(files)}
        return Opened(directory, {**origin, "licence": self.licence or stated_licence(directory)})

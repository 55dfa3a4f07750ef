"""The files that synthetic text is made from: an exported model's and a file of prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from data.documents.sharding import CorpusShard
from data.synthetic.config import ModelMaker, SyntheticSource

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

"""Read from an open model what its recipe needs: the shape of its network and the size of its vocabulary.

They are read when the recipe is, from local or fetched files, unless the recipe gives them; `folio init --base` writes them down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from data.tokens.config import TokenizerConfig
from flows.services.home import home
from model.networks.base import ModelError
from model.opening.config import OpenModel
from model.opening.source import OpenModelConfig, Shape, Surroundings
from model.training.config import PretrainConfig

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe


def surroundings(root: Path) -> Surroundings:
    """Return where open models are looked for before a run: below `root`, and in folio's cache."""
    return Surroundings(root, home() / "cache", home() / "cache" / "models")


def with_shape(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's plain data with `model` and `tokenizer.vocab_size` of its open model. Raise ValueError if that can't be read."""
    data = dict(given)
    tokenizer = data.get("tokenizer") or {}
    if not isinstance(data.get("base"), Mapping) or not isinstance(tokenizer, Mapping) or ("model" in data and "vocab_size" in tokenizer):
        return data
    try:
        config: OpenModelConfig = TypeAdapter(OpenModel).validate_python(data["base"])
    except ValidationError:
        return data  # the field's own check reports it
    try:
        shape: Shape = config.shape(surroundings(Path(str(data.get("root", ".")))))
    except ModelError as error:
        raise ValueError(f"base: {error}") from error
    data.setdefault("model", shape.network.model_dump(mode="json"))
    return {**data, "tokenizer": {"vocab_size": shape.vocabulary, **tokenizer}}


def opening_problems(recipe: Recipe) -> Iterator[str]:
    """Yield keys that contradict starting from an open model, and keys that need one."""
    if recipe.base is None:
        if recipe.pretrain.adapter.KEEPS_BASE and not getattr(recipe.pretrain, "initial", ""):
            yield (
                f"pretrain.adapter.kind={recipe.pretrain.adapter.kind} trains changes of a model, and there is neither base nor "
                "pretrain.initial, so the weights would stay random; name a model, or use adapter.kind=full"
            )
        return
    if getattr(recipe.pretrain, "initial", ""):
        yield f"pretrain.initial={recipe.pretrain.initial!r} and base name a model to start from each; keep base"
    if recipe.tokenizer != TokenizerConfig(vocab_size=recipe.tokenizer.vocab_size):
        yield "tokenizer does nothing with base, whose tokenizer is its own; leave it out"
    if not recipe.base.pretrain and recipe.pretrain not in (PretrainConfig(), PretrainConfig().resolved()):
        yield "pretrain does nothing while base.pretrain=false; set base.pretrain=true, or leave pretrain out"


def tokenizer_problems(recipe: Recipe) -> Iterator[str]:
    """Yield variants for tools that would split text otherwise than the open model's tokenizer, if that is on this machine."""
    files = recipe.base.local_files(Path(recipe.root)) if recipe.base is not None else []
    for path in (file for file in files if file.name == "tokenizer.json"):
        for number, variant in enumerate(recipe.release.variants):
            if why := variant.tokenizer_refusal(path):
                yield f"release.variants[{number}] is of kind {variant.kind}: {why}"


def shape_problems(recipe: Recipe) -> Iterator[str]:
    """Yield how the recipe's `model` and vocabulary differ from the open model's, if its files are on this machine."""
    if recipe.base is None:
        return
    try:
        shape = recipe.base.shape(surroundings(Path(recipe.root)))
    except ModelError as error:
        if recipe.base.local_files(Path(recipe.root)):
            yield f"base: {error}"
        return
    for name, here, there in recipe.model.differences(shape.network):
        yield f"model.{name}={here!r}, and base has {there!r}; leave model out, or give model.{name} that value"
    if shape.vocabulary != recipe.tokenizer.vocab_size:
        yield f"tokenizer.vocab_size={recipe.tokenizer.vocab_size}, and base has {shape.vocabulary}; leave tokenizer out"

"""`folio serve`: find the models, say what they are, and serve them until Ctrl-C."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from data.shards.model_folder import require_regular
from data.sources.pictures import MediaOpener
from flows.cli.chat_models import description, find_model, lineage_of
from flows.cli.introduction import introduce
from flows.cli.searching import RecipeDocuments, open_passages
from flows.cli.signals import stoppable
from flows.cli.views.lineage import show_lineage
from model.inference.speculation import OWN_HEADS
from model.networks.directory import ModelError, read_config
from model.networks.tensor_files import tensor_shapes
from model.release.adapters import adapters_beside
from model.serving.app import compute_with, serve
from model.serving.connections import bound
from model.serving.guard import read_key
from model.serving.opening import Drafting, Offer, medium_read, open_together
from model.serving.own import OwnModel
from model.serving.served import ServedModel, ServeLimits
from tasks.reporting.wording import size

LIMITED = {"pictures": "pictures", "picture_bytes": "pictures", "recordings": "sounds", "recording_bytes": "sounds"}  # medium, by limit


def serve_models(
    models: Sequence[str],
    host: str,
    port: int,
    key_file: Path | None,
    limits: Mapping[str, Any],
    *,
    threads: int | None,
    draft: str | None,
    backend: Literal["auto", "folio", "llama.cpp", "vllm"],
    store: str,
    documents: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM. Raise LookupError or ValueError before listening if a model can't be served.

    limits: those of `ServeLimits` that were given, None where one was not. documents: conversations are answered from the passages that
    each recipe's index finds, with citations.
    """
    found = find_served(models, store, every_adapter=backend in ("auto", "folio"))
    drafting: Drafting | None = None if draft is None else "self" if draft == OWN_HEADS else find_model(draft, store)
    key = read_key(key_file)
    given = {name: limit for name, limit in limits.items() if limit is not None}
    settings, listening, count = ServeLimits(**given), bound(host, port, key), threads or os.cpu_count() or 1
    names = [name for named in found.values() for name in named]
    require_readers(given, names, (medium_read(path, backend=backend, draft=drafting) for path in found))
    compute_with(count)
    served: dict[str, Any] = {}
    with stoppable(last=True), ExitStack() as opened:
        asked = documents_of(models, store, opened) if documents else {}
        opener = opened.enter_context(MediaOpener())
        try:
            for path, named in found.items():
                offers, introduction = [], introduce(path)
                for name, adapter in named.items():
                    lines = list(said_of(path, adapter))
                    print("\n".join(lines[:3]), file=sys.stderr, flush=True)
                    offers.append(Offer(name, path, lines, adapter, introduction.summary, introduction.questions))
                for model in open_together(offers, settings, backend=backend, threads=count, draft=drafting, decode=opener):
                    served[model.about.id] = model
                    if documents:
                        answer_from(model, asked)
            serve(served, settings, listening, key, lambda address: print(_ready(address, served, key), flush=True))
        finally:
            for model in served.values():
                model.close()


def find_served(models: Sequence[str], store: str = "", *, every_adapter: bool = True) -> dict[Path, dict[str, Path | None]]:
    """Return by folder or file what is served of it: names, each with the folder of its adapter, None for the model itself.

    A model brings the adapters that lie beside it, as MODEL:ADAPTER, if `every_adapter`; one can be named alone. Raises LookupError, and
    ValueError if two would have one name.
    """
    found: dict[Path, dict[str, Path | None]] = {}
    for name in dict.fromkeys(models):
        model, _, form = name.partition(":")
        path = find_model(name if Path(name).exists() else model, store)
        beside = adapters_beside(path) if path.is_dir() and not any(path.glob("*.gguf")) else {}
        named: dict[str, Path | None]
        if not form or Path(name).exists():
            named = {_short(name): None}
            named |= {f"{_short(name)}:{one}": folder for one, folder in beside.items()} if every_adapter else {}
        elif form in beside:
            named = {f"{_short(model)}:{form}": beside[form]}
        elif beside and not (path / form / "config.json").is_file():
            raise LookupError(f"{path} has neither a variant nor an adapter {form!r}; its adapters are {', '.join(beside)}.")
        else:
            path, named = find_model(name, store), {_short(name): None}
        for other, taken in found.items():
            if other != path and (twice := sorted(named.keys() & taken.keys())):
                raise ValueError(f"two models would be called {twice[0]}; serve one of them from a folder of another name")
        found.setdefault(path, {}).update(named)
    return found


def documents_of(models: Sequence[str], store: str, opened: ExitStack) -> dict[str, RecipeDocuments]:
    """Open the documents of each recipe that is served, by its name in the API. Raise LookupError for one without an index."""
    recipes = {model if Path(model).exists() else model.partition(":")[0] for model in models}
    return {_short(recipe): RecipeDocuments(opened.enter_context(open_passages(recipe, store))) for recipe in sorted(recipes)}


def answer_from(model: ServedModel, asked: Mapping[str, RecipeDocuments]) -> None:
    """Have a model answer from the documents of its recipe. Raise ValueError for one that another program computes."""
    if not isinstance(model, OwnModel):
        raise ValueError(f"--documents: {model.about.id} is computed by {model.about.backend}, and only models that folio computes cite")
    model.documents = asked[model.about.id.partition(":")[0]]


def require_readers(limits: Mapping[str, Any], named: Sequence[str], mediums: Iterable[str | None]) -> None:
    """Raise ValueError for a limit of pictures or recordings where no model is given any. `mediums`: what each model reads."""
    read = set(mediums) if any(limits.get(name) for name in LIMITED) else set()
    for name, medium in LIMITED.items():
        if limits.get(name) and medium not in read:
            option = f"--{name.replace('_', '-')} {limits[name]}"
            raise ValueError(f"{option} does nothing: no model served here reads {medium} ({', '.join(named)}); leave it out")


def said_of(path: Path, adapter: Path | None = None) -> Iterator[str]:
    """Yield lines about a model: what it is, the adapter that it computes with, and the lineage that its store records."""
    folder = path.parent if path.is_file() else path
    file = path if path.is_file() else next(iter(folder.glob("*.gguf")), None)
    if file is not None:
        yield f"{file.name}: a GGUF file of {size(require_regular(file, within=False))}, computed by llama.cpp"
        yield f"  in {folder.absolute()}"
    else:
        kind = "model"
        with suppress(ModelError):
            kind = read_config(path)[0].kind
        yield from description(path, SimpleNamespace(config=SimpleNamespace(kind=kind), parameters=_parameters(path)), adapter)
    thing, store = lineage_of(folder)
    if thing is not None:
        with suppress(LookupError, ValueError, OSError):
            yield ""
            yield from show_lineage(thing, store=store).splitlines()


def _parameters(directory: Path) -> int:
    """Return how many numbers a folder's weight files hold, from their headers."""
    return sum(math.prod(shape) for path in sorted(directory.glob("*.safetensors")) for _, shape in tensor_shapes(path).values())


def _short(name: str) -> str:
    """Return a model's name in the API: a recipe as given, a path by its last part."""
    path = Path(name)
    return path.resolve().name.removesuffix(".gguf") if path.exists() else name


def _ready(address: str, served: Mapping[str, Any], key: str | None) -> str:
    lines = [
        f"serving {', '.join(served)}",
        f"  talk to it   {address}/",
        f"  API          {address}/v1   (OpenAI's, for any client; {'with the key' if key else 'no key needed on this machine'})",
        "Ctrl-C stops it",
    ]
    return "\n".join(lines)

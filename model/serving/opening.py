"""Choose the engine for a model's folder: folio itself, llama.cpp for a GGUF file, or vLLM on request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from model.adapters.opening import with_adapter
from model.inference.chat_format import ChatFormat
from model.inference.open_model import fingerprint, open_model, tokenizer_directory
from model.inference.speculation import OWN_HEADS
from model.networks.directory import CONFIG, ModelError, read_config, require_tokenizer
from model.serving.child import serve_vllm
from model.serving.llama import gguf_file, serve_gguf
from model.serving.media import Decode
from model.serving.own import OwnModel
from model.serving.served import About, ServedModel, ServeLimits
from model.serving.vectors import OwnEncoder

if TYPE_CHECKING:
    from model.networks.decoding import DecodingNetwork

Backend = Literal["auto", "folio", "llama.cpp", "vllm"]
WRITES = ("chat", "completions")
EMBEDS = ("embeddings",)


Drafting = Path | Literal["self"]  # the folder of the model that drafts; self: the model itself, by its heads


@dataclass(frozen=True)
class Offer:
    """A model to serve. lines: text for the page besides what its files say. adapter: the folder of one to compute with.

    summary, questions: as in `About`.
    """

    name: str
    path: Path
    lines: Sequence[str] = ()
    adapter: Path | None = None
    summary: str = ""
    questions: Sequence[str] = ()


def open_together(
    offers: Sequence[Offer],
    limits: ServeLimits,
    *,
    backend: Backend = "auto",
    threads: int = 1,
    draft: Drafting | None = None,
    decode: Decode | None = None,
) -> list[ServedModel]:
    """Open a model and adapters that were trained on it, all of one `path`, whose weights are read once. Raise as `open_served` does.

    decode: opens pictures and recordings for models that read them; None: none is given to them.

    Each adapter has rows and a queue of its own, and costs the memory of another model but for the weights that it leaves as they are.
    """
    if all(offer.adapter is None for offer in offers):
        return [open_served(offer, limits, backend=backend, threads=threads, draft=draft, decode=decode) for offer in offers]
    path, named = offers[0].path, next(offer.name for offer in offers if offer.adapter is not None)
    if backend not in ("auto", "folio") or gguf_file(path) is not None:
        raise ValueError(f"{named} computes with an adapter, which folio alone does; serve it from the model's folder without --backend")
    config, _ = read_config(path)
    config.require_generation()
    chat_format = ChatFormat(tokenizer_directory(path))
    require_tokenizer(path, chat_format.digest)
    network, drafting = open_model(path), _draft(draft, chat_format)
    served: list[ServedModel] = []
    try:
        for offer in offers:
            adapted = network if offer.adapter is None else with_adapter(network, offer.adapter)
            decoding = adapted.decoding().prepared()
            served.append(_own_model(offer, decoding, chat_format, limits, drafting or _own_heads(draft, decoding), decode))
    except BaseException:
        for model in served:
            model.close()
        raise
    return served


def open_served(
    offer: Offer,
    limits: ServeLimits,
    *,
    backend: Backend = "auto",
    threads: int = 1,
    draft: Drafting | None = None,
    decode: Decode | None = None,
) -> ServedModel:
    """Open a model. Raise ModelError, ChildError or ValueError, saying why, if it can't be served."""
    file = gguf_file(offer.path) if backend in ("auto", "llama.cpp") else None
    if backend == "llama.cpp" and file is None:
        raise ModelError(f"{offer.path} holds no GGUF file, which is what llama.cpp opens")
    if (file is not None or backend == "vllm") and draft is not None:
        raise ValueError("--draft proposes tokens to models that folio computes; leave it out for llama.cpp and vLLM")
    if file is not None:
        about = _about(offer, file, _context(file.parent), WRITES, "llama.cpp")
        return serve_gguf(file, about, limits, threads)
    if offer.path.is_file():
        raise ModelError(
            f"{offer.path} is a file, and backend={backend} opens folders of models; leave --backend out to have llama.cpp serve it"
        )
    config, _ = read_config(offer.path)
    if backend == "vllm":
        return serve_vllm(offer.path, _about(offer, offer.path, config.context, WRITES, "vllm"), limits)
    chat_format = ChatFormat(tokenizer_directory(offer.path))
    require_tokenizer(offer.path, chat_format.digest)
    if "generation" not in config.SUPPORTS and "bidirectional" in config.SUPPORTS:
        if draft is not None:
            raise ValueError(f"--draft proposes tokens, and {offer.name} is of kind={config.kind}, which writes none; leave it out")
        about = _about(offer, offer.path, config.context, EMBEDS, "folio")
        return OwnEncoder(open_model(offer.path), chat_format, about, limits)
    config.require_generation()
    decoding = open_model(offer.path).decoding().prepared()
    return _own_model(offer, decoding, chat_format, limits, _draft(draft, chat_format) or _own_heads(draft, decoding), decode)


def medium_read(path: Path, *, backend: Backend, draft: Drafting | None) -> str | None:
    """Return what a model would be given besides text, by its config alone: pictures or sounds; None: nothing. Raise ModelError.

    Programs of others are given text alone, and so is a model for which another drafts, which knows nothing of pictures.
    """
    if backend not in ("auto", "folio") or path.is_file() or (backend == "auto" and gguf_file(path) is not None):
        return None
    config, _ = read_config(path)
    reads = config.patches if "generation" in config.SUPPORTS and not isinstance(draft, Path) else None
    return None if reads is None else reads.MEDIUM


def _own_model(
    offer: Offer,
    network: DecodingNetwork,
    chat_format: ChatFormat,
    limits: ServeLimits,
    draft: DecodingNetwork | None,
    decode: Decode | None,
) -> OwnModel:
    """Serve a network. It is given pictures or recordings if it reads them, unless another model drafts, which knows nothing of them."""
    reads = network.config.patches
    sees = reads is not None and decode is not None and draft in (None, network) and limits.of(reads.MEDIUM)[0] > 0
    abilities = [*WRITES, *(() if network.config.counted else EMBEDS), *((reads.MEDIUM,) if reads is not None and sees else ())]
    about = _about(offer, offer.path, network.context, abilities, "folio")
    return OwnModel(network, chat_format, about, limits, draft, decode if sees else None)


def _own_heads(draft: Drafting | None, network: DecodingNetwork) -> DecodingNetwork | None:
    return network if draft == OWN_HEADS else None


def _draft(directory: Drafting | None, chat_format: ChatFormat) -> DecodingNetwork | None:
    """Open the model that drafts, if it is another."""
    if not isinstance(directory, Path):
        return None
    read_config(directory)[0].require_generation()
    require_tokenizer(directory, chat_format.digest)
    return open_model(directory).decoding().prepared()


def _context(directory: Path) -> int | None:
    """Return the context from the config.json next to a GGUF file; None without one."""
    try:
        return read_config(directory)[0].context if (directory / CONFIG).is_file() else None
    except ModelError:
        return None


def _about(offer: Offer, model: Path, context: int | None, abilities: Sequence[str], backend: str) -> About:
    files = [model] if model.is_file() else [path for path in model.glob("*") if path.is_file()]
    created = int(max((path.stat().st_mtime for path in files), default=time.time()))
    mark = fingerprint(model, offer.adapter)
    return About(offer.name, offer.lines, context, created, mark, abilities, backend, offer.summary, offer.questions)

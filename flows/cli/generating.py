"""`folio generate`: open the model, answer the file part by part, and report progress."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data.shards.durable import file_digest
from flows.cli.chat_models import find_model
from flows.cli.chat_session import sampling_of
from flows.cli.signals import stoppable
from model.hardware.transfers import torch_threads
from model.inference.answering import Answerer, Answering
from model.inference.chat import ChatModel
from model.inference.open_model import fingerprint
from model.inference.prompt_files import Ledger
from model.inference.speculation import OWN_HEADS
from tasks.stage.system.locks import try_lock


def answer_file(
    model: str,
    prompts: Path,
    answers: Path,
    options: Mapping[str, Any],
    *,
    seed: int,
    stop: tuple[str, ...],
    json_schema: Path | None,
    beams: int,
    draft: str | None,
    batch: int,
    threads: int | None,
    restart: bool,
    store: str,
) -> None:
    """Answer a file of prompts. Raise LookupError or ValueError before any work if the request can't be met."""
    settings = sampling_of(options, None)
    for path in (prompts, *([json_schema] if json_schema else [])):
        if not path.is_file():
            raise LookupError(f"{path} is not a file")
    if answers.exists() and answers.samefile(prompts):
        raise ValueError(f"{answers} holds the prompts; name another file for the answers")
    schema = json_schema.read_text(encoding="utf-8") if json_schema else None
    directory = find_model(model, store)
    draft_directory = None if draft is None or draft == OWN_HEADS else find_model(draft, store)
    opened = ChatModel.open(directory)
    drafting = opened.network if draft == OWN_HEADS else None
    if draft_directory is not None:
        drafting = ChatModel.open(draft_directory, tokenizer=directory).network
    asked, count = Answering(settings, seed, batch, beams, stop, schema), threads or os.cpu_count() or 1
    answerer = Answerer(opened.network, opened.format, asked, drafting)
    identity = {
        "model": fingerprint(directory),
        "prompts": file_digest(prompts),
        "settings": settings.model_dump(mode="json"),
        **{"seed": seed, "batch": batch, "beams": beams, "stop": list(stop), "json_schema": schema},
        **{"draft": draft if draft_directory is None else fingerprint(draft_directory), "threads": count},
        "versions": {name: version(name) for name in ("folio", "torch", "tokenizers")},
    }
    ledger = Ledger(answers, identity)
    with _alone(answers):
        ledger.open(restart=restart)
        with stoppable(last=True), torch_threads(count):
            _answer(answerer, prompts, ledger)


@contextmanager
def _alone(answers: Path) -> Iterator[None]:
    """Lock the answers' file for this process. Raise ValueError if another process is writing it."""
    with ExitStack() as held:
        try:
            held.enter_context(try_lock(answers.with_name(f".{answers.name}.lock")))
        except BlockingIOError:
            raise ValueError(f"another process is writing {answers}; wait until it has ended, or name another file") from None
        yield


def _answer(answerer: Any, prompts: Path, ledger: Any) -> None:
    kept, began, shown = sum(part.written + part.refused for part in ledger.parts), time.monotonic(), sys.stderr.isatty()
    if kept:
        print(f"{kept} answers are there already", file=sys.stderr, flush=True)
    tokens = 0
    for part in answerer.answer(prompts, ledger):
        tokens += part.tokens
        if shown:
            speed = tokens / max(time.monotonic() - began, 1e-9)
            print(f"\r\x1b[K{part.last} lines, {speed:.0f} tokens/s", end="", file=sys.stderr, flush=True)
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr)
    written, refused = sum(part.written for part in ledger.parts), sum(part.refused for part in ledger.parts)
    told = f", {refused} lines refused: the answers say why" if refused else ""
    if answerer.proposed:
        share, speed = answerer.accepted / answerer.proposed, tokens / max(time.monotonic() - began, 1e-9)
        print(f"{answerer.accepted:,} of {answerer.proposed:,} drafted tokens taken ({share:.0%}), {speed:.0f} tokens/s", file=sys.stderr)
    print(f"{written} answers in {ledger.answers}{told}; ledger {ledger.path}")

"""`folio serve`: serve models over an OpenAI-compatible API, with a page to talk to them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.commands.arguments import StoreUrl

serve_app = typer.Typer()


class BackendName(StrEnum):
    """What computes the models."""

    AUTO = "auto"
    FOLIO = "folio"
    LLAMA = "llama.cpp"
    VLLM = "vllm"


@serve_app.command(rich_help_panel="Make a model")
def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="each a recipe, for its newest released model with its adapters, the folder of a model, or a GGUF file; RECIPE:NAME is a "
            "quantized form or an adapter alone",
        ),
    ],
    host: Annotated[str, typer.Option(help="address to listen on; one beyond this machine needs a key")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0: any that is free")] = 8000,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="file with the key that clients must send; or set FOLIO_SERVE_KEY")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="replies that each model writes at once")] = 16,
    waiting: Annotated[int, typer.Option(min=0, help="replies that may wait for each model before others are turned away")] = 64,
    max_tokens: Annotated[int, typer.Option(min=1, help="longest reply, in tokens")] = 4096,
    reply_seconds: Annotated[float, typer.Option(min=1, help="longest time for a reply; it is then cut off")] = 300,
    threads: Annotated[int | None, typer.Option(min=1, help="threads that compute; by default one for each core")] = None,
    draft: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="a smaller model with the same tokenizer that proposes tokens; replies stay the same"),
    ] = None,
    backend: Annotated[BackendName, typer.Option(help="what computes them; auto: llama.cpp for GGUF files, else folio")] = BackendName.AUTO,
    store: StoreUrl = "",
) -> None:
    """Serve models on this machine: an OpenAI-compatible API under /v1, and a page to talk to them at /.

    Example: `folio serve universe universe:int8`, then open the address that it prints.
    """
    from flows.cli.serving import serve_models

    limits = {"rows": rows, "waiting": waiting, "max_tokens": max_tokens, "reply_seconds": reply_seconds}
    serve_models(models, host, port, key_file, limits, threads=threads, draft=draft, backend=backend.value, store=store)

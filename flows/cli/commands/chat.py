"""`folio chat`: talk to a model."""

from __future__ import annotations

from typing import Annotated

import typer

chat_app = typer.Typer()


@chat_app.command(rich_help_panel="Make a model")
def chat(
    model: Annotated[str, typer.Argument(help="a recipe whose released model to talk to, or a model directory")] = "universe",
    variant: Annotated[str | None, typer.Option("--variant", help="use a quantized variant, by its name in the recipe")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="short for --variant int8")] = False,
    temperature: Annotated[float, typer.Option(help="randomness of the reply; 0 always takes the likeliest token")] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="choose among the k likeliest tokens only")] = None,
    top_p: Annotated[float | None, typer.Option(help="choose among the likeliest tokens that add up to this probability")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="longest reply; tokens")] = 64,
    seed: Annotated[int | None, typer.Option(help="seed of the random choices; 0 by default")] = None,
    question: Annotated[str | None, typer.Option("--ask", help="ask one question and exit")] = None,
) -> None:
    """Talk to a model."""
    from flows.cli.chat_session import talk

    if int8:
        if variant is not None:
            raise ValueError(f"--int8 is short for --variant int8, and --variant {variant} is given too; keep one")
        variant = "int8"
    talk(model, variant, {"temperature": temperature, "top_k": top_k, "top_p": top_p, "max_new_tokens": max_new_tokens}, seed, question)

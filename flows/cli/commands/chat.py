"""`folio chat`: talk to a model."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.commands.arguments import StoreUrl

chat_app = typer.Typer()


@chat_app.command(rich_help_panel="Make a model")
def chat(
    model: Annotated[
        str, typer.Argument(metavar="RECIPE|FOLDER", help="a recipe, to talk to its newest released model, or the folder of a model")
    ] = "universe",
    variant: Annotated[
        str | None, typer.Option("--variant", metavar="NAME", help="talk to a quantized form, by its name in the recipe")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option("--adapter", metavar="NAME|FOLDER", help="talk to the model with an adapter that was trained on it")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="short for --variant int8")] = False,
    temperature: Annotated[float, typer.Option(metavar="NUMBER", help="randomness of a reply; 0 always takes the likeliest word")] = 0.0,
    top_k: Annotated[int | None, typer.Option(metavar="COUNT", help="draw among this many of the likeliest tokens only")] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="SHARE", help="draw among the likeliest tokens that add up to this probability, above 0 to 1")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(metavar="COUNT", help="longest reply, in tokens; by default as long as the context has room")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="makes sampling repeatable; 0 by default")] = None,
    best_of: Annotated[
        int, typer.Option("--best-of", metavar="COUNT", help="sample so many replies and show the one that a reward model scores highest")
    ] = 1,
    judge: Annotated[
        str | None, typer.Option("--judge", metavar="NAME|FOLDER", help="which reward model chooses; by default the only one of the recipe")
    ] = None,
    question: Annotated[str | None, typer.Option("--ask", metavar="TEXT", help="ask one question, print the reply, and end")] = None,
    store: StoreUrl = "",
) -> None:
    """Talk to a model.

    Say /forget to start over; an empty line ends. Arrow keys edit a line and bring back earlier ones.

    Examples: `folio chat universe --ask "Who lives in Arlen?"`, `folio chat ./model --temperature 0.8 --top-k 20`
    """
    from flows.cli.chat_session import talk

    if int8:
        if variant is not None:
            raise ValueError(f"--int8 is short for --variant int8, and --variant {variant} is given too; keep one")
        variant = "int8"
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "max_new_tokens": max_new_tokens}
    talk(model, variant, options, seed, question, store, adapter, best_of, judge)

"""`folio card`: the whole model card of a release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.commands.arguments import StoreUrl

card_app = typer.Typer()


@card_app.command(rich_help_panel="Look inside")
def card(
    model: Annotated[
        str, typer.Argument(metavar="RECIPE|FOLDER", help="a recipe, for its newest released model, or the folder of a released model")
    ],
    output: Annotated[Path | None, typer.Option(metavar="FILE.md", help="write it to this file instead")] = None,
    store: StoreUrl = "",
) -> None:
    """Print a release's model card: what its export wrote, with its evaluation, gates, decisions of people and cost.

    Example: `folio card universe --output card.md`
    """
    from flows.cli.pushing import released_card

    if output is not None and not output.absolute().parent.is_dir():
        raise ValueError(f"There is no folder {output.parent}; make it, or give --output another place.")
    text = released_card(model, store)
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")

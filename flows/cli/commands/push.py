"""`folio card` and `folio push`: show a release's model card, and send the release to a hub or a folder.

What loads torch is imported inside the commands, so that help and a mistyped option take no seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.commands.arguments import StoreUrl

app = typer.Typer()


@app.command()
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


@app.command()
def push(
    model: Annotated[
        str, typer.Argument(metavar="RECIPE|FOLDER", help="a recipe, to send its newest released model, or that model's folder")
    ],
    target: Annotated[str, typer.Argument(help="owner/name on a hub, or a folder, which begins with . or / or ~")],
    send: Annotated[bool, typer.Option("--send", help="send it; without this, only say what would be sent")] = False,
    public: Annotated[bool, typer.Option("--public", help="make a repository that does not exist public instead of private")] = False,
    store: StoreUrl = "",
) -> None:
    """Send a released model to a model hub or to a folder. Sends nothing without --send.

    Examples: `folio push universe me/universe`, `folio push universe ./shared/universe --send`
    """
    from flows.cli.pushing import push_model

    print(push_model(model, target, send=send, public=public, store=store))

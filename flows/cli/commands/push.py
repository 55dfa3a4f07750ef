"""`folio push`: send a released model to a hub or a folder."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.commands.arguments import StoreUrl

push_app = typer.Typer()


@push_app.command(rich_help_panel="Make a model")
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

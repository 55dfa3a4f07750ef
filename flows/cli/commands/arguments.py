"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.commands.completion import complete_recipe, complete_stage

RecipeName = Annotated[
    str,
    typer.Argument(help="a recipe that comes with folio, by name, or the path of a recipe file", autocompletion=complete_recipe),
]
Changes = Annotated[list[str] | None, typer.Option("--set", help="change a key, such as sft.learning_rate=0.001 (repeatable)")]
Refresh = Annotated[
    list[str] | None, typer.Option(help="run this stage even if nothing changed (repeatable)", autocompletion=complete_stage)
]
Verify = Annotated[bool, typer.Option("--verify", help="hash every artifact again before reusing it")]
StageName = Annotated[
    str, typer.Argument(help="a stage, or one of its positions such as evaluate.base or clean[3]", autocompletion=complete_stage)
]
StoreUrl = Annotated[str, typer.Option("--store", help="path or fsspec URL of a store; by default the one in folio's home")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]

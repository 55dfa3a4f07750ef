"""Say what a failed gate means and which commands help, below its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows.recipe.schema import Recipe
from tasks.reporting.wording import rough
from tasks.stage.store.artifact import Artifact
from tasks.stage.system.command_line import folio
from tasks.stage.system.progress import format_duration

COUNTING = "beats baseline.ngram"
LONGER = 2  # times the tokens: the least that shows


def way_out(recipe: Recipe, argument: str, position: str, failure: str, made: Mapping[str, Artifact]) -> str:
    """Return the lines that follow the failure of the gate at a position; none where a person refused, who said why.

    argument: what names the recipe in commands. failure: the gate's message. made: artifacts by position.
    """
    if not position:
        return ""
    commands = list(_commands(recipe, argument, position, made))
    width = max(len(command) for command, _ in commands)
    told = [f"  {command.ljust(width)}  {why}" if width <= 64 else f"  {command}\n      {why}" for command, why in commands]
    return "\n".join(["", f"What it means: {_meaning(failure, position)}", "Nothing is lost: what was made is kept and reused.", *told])


def _meaning(failure: str, position: str) -> str:
    if any(COUNTING in line and "FAILED" in line for line in failure.splitlines()):
        return (
            "counting runs of words predicts unseen text as well as\n"
            "this model does, so it has learned too little to be of use. It needs more\n"
            "training, more text, or a start from an open model."
        )
    if position == "gate.corpus":
        return (
            "the texts are not what the recipe asks for, so no model is trained on them.\n`folio corpus stats` shows what each stage took."
        )
    return "a measured value is beyond its bound in the recipe, so nothing after this\ngate may use the model."


def _commands(recipe: Recipe, argument: str, position: str, made: Mapping[str, Artifact]) -> Iterator[tuple[str, str]]:
    trained = made.get("pretrain")
    if position == "gate.base" and recipe.takes_steps and trained is not None:
        tokens = round(trained.metrics.get("tokens", recipe.pretrain.tokens) * LONGER)
        seconds = trained.cost.wall_seconds * LONGER
        longer = f"train {LONGER} times as long: {rough(tokens)} tokens, about {format_duration(seconds)}"
        yield folio("run", argument, "--set", f"pretrain.tokens={tokens}"), longer
    if position == "gate.base" and recipe.base is None:
        yield folio("init", "FOLDER", "--base", "MODEL"), "write a recipe that starts from an open model"
    if position == "gate.base" and recipe.base is None and recipe.takes_steps:
        yield folio("init", "FOLDER", "--kind", "counts"), "write a recipe of the counts themselves, made in seconds"
    if position == "gate.corpus":
        yield folio("corpus", "stats", argument), "what came in, what was taken out, and why"
    else:
        yield folio("chat", argument, "--unreleased"), "look at the model all the same"
    gate = position.removeprefix("gate.")
    if gate in type(recipe.gates).model_fields:
        yield folio("run", argument, "--set", f"gates.{gate}.overrule=REASON"), "let it pass, in writing"

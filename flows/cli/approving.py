"""Gates on a terminal: ask whether one may be passed, answer one later (`folio approve`), and say the way out of one that failed."""

from __future__ import annotations

import getpass
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block

from flows.cli.planning import plan_recipe
from flows.recipe.loading import RECIPE_FILE, load, recipe_argument
from flows.recipe.schema import Recipe
from flows.recipe.validation import RecipeError
from flows.services.home import store_url
from tasks.reporting.wording import rough
from tasks.stage.execution.approving import AwaitsApproval, record_answer
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import open_store
from tasks.stage.store.verdicts import Answer, Approver, Question
from tasks.stage.system.columns import terminal_width, wrapped
from tasks.stage.system.command_line import folio
from tasks.stage.system.progress import format_duration, log, undrawn


def asking(recipe: str, changes: tuple[str, ...], notify: str) -> Approver:
    """Return what asks on the terminal. Without a terminal it sends the recipe's notification and stops the run, naming the command."""
    settings = [word for change in changes for word in ("--set", change)]

    def ask(question: Question) -> Answer:
        command = folio("approve", question.position, recipe_argument(recipe), *settings, "--reason", "...")
        way = f"Answer by: {command}   Then run it again to continue."
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            tell(notify, question.title, f"{question.shown}\n\n{way}")
            raise AwaitsApproval(f"{question.title} {way}")
        try:
            with undrawn():
                print(question.shown)
                return _answered(question)
        except EOFError:
            raise AwaitsApproval(f"{question.title} {way}") from None

    return ask


def tell(notify: str, subject: str, body: str) -> None:
    """Send a message by Prefect's notification block, if one is named. A failure is logged and does not end the run."""
    if not notify:
        return
    try:
        block = Block.load(notify)
        if not isinstance(block, NotificationBlock):
            raise TypeError(f"a {type(block).__name__} sends no notifications")
        with block.raise_on_failure():
            block.notify(body, subject)  # type: ignore[unused-coroutine]  # without an event loop it sends at once
    except Exception as error:  # noqa: BLE001  # each service fails in its own way, and none of them may end a run
        log(f"resources.notify={notify}: nobody was told ({type(error).__name__}: {next(iter(str(error).splitlines()), '')})")


def _answered(question: Question) -> Answer:
    approved = _line(f"May what comes after {question.position} run? (yes or no) ", ("yes", "no", "y", "n"))
    who = input(f"Your name, which is recorded [{getpass.getuser()}]: ").strip() or getpass.getuser()
    return Answer(approved.startswith("y"), who, _line("Why, which is recorded: "))


def _line(prompt: str, choices: tuple[str, ...] = ()) -> str:
    """Ask until the answer is a non-empty line and, if there are choices, one of them; return it."""
    while not (line := input(prompt).strip()) or (choices and line.lower() not in choices):
        pass
    return line.lower() if choices else line


def answer_gate(gate: str, name: str, changes: tuple[str, ...], *, approved: bool, who: str, reason: str) -> str:
    """Record a person's answer to a recipe's verdict at a gate, and return it in words.

    Raises RecipeError for an unknown gate, one that asks nobody, and one that failed or has no verdict.
    """
    plan = plan_recipe(name, changes, frozenset(), False)
    gates = {decision.position: decision for decision in plan.decisions if decision.stage == "gate"}
    position = gate if gate.startswith("gate.") else f"gate.{gate}"
    where = position.partition(".")[2]
    config = getattr(plan.recipe.gates, where, None)
    if config is None:
        raise RecipeError(f"approve {gate!r}: there is no such gate; the gates are {', '.join(type(plan.recipe.gates).model_fields)}.")
    if not config.approve:
        raise RecipeError(f"{position} of {plan.recipe.name} asks nobody; set gates.{where}.approve: true in the recipe.")
    verdict = gates[position].artifact if position in gates else None
    if verdict is None:
        raise RecipeError(f"{position} of {plan.recipe.name} has no verdict yet; run the recipe, which stops there.")
    if not verdict.metrics.get("passed"):
        raise RecipeError(
            f"{position} of {plan.recipe.name} failed, which no approval changes; a recipe overrules it by gates.{where}.overrule."
        )
    answer = record_answer(plan.store, plan.recipe.name, position, verdict, approved=approved, who=who or getpass.getuser(), reason=reason)
    return f"{position}: {answer.words}"


MARGIN = " " * 6
COUNTING, TUNED = r"beats baseline\.ngram(: \S+)?", r"(x base\.\S+|no worse than base( by [\d.]+)?(: \S+)?)"  # bounds
LONGER, GENTLER = 2, 4  # times the length of training, and the share of a learning rate: the least that shows


def way_out(recipe: Recipe, argument: str, position: str, failure: str, made: Mapping[str, Artifact], changes: tuple[str, ...] = ()) -> str:
    """Return the lines that follow the failure of the gate at a position; none where a person refused, who said why.

    argument: what names the recipe in commands. failure: the gate's message. made: artifacts by position. changes: those that the run
    was given; commands keep them.
    """
    if not position:
        return ""
    commands = list(_commands(recipe, _Command(argument, changes), position, made))
    width = max(len(command) for command, _ in commands)
    beside = 4 + width + max(len(why) for _, why in commands) <= terminal_width()
    # A command stays on a line of its own, whole, to be copied.
    told = [
        line
        for command, why in commands
        for line in ([f"  {command:{width}}  {why}"] if beside else [f"  {command}", *wrapped(why, MARGIN, MARGIN)])
    ]
    meaning = wrapped(f"What it means: {_meaning(failure, position)}", rest="")
    return "\n".join(["", *meaning, "Nothing is lost: what was made is kept and reused.", *told])


def _meaning(failure: str, position: str) -> str:
    if _failed(COUNTING, failure):
        return (
            "counting runs of words predicts unseen text as well as this model does, so it has learned too little to be of use. It needs "
            "more training, more text, or a start from an open model."
        )
    if position == "gate.chat" and _failed(TUNED, failure):
        return (
            "tuning undid part of what pretraining had learned. Tune more gently: a lower learning_rate, fewer steps, or rows of "
            "pretraining replayed among its own."
        )
    if position == "gate.corpus":
        return (
            "the texts are not what the recipe asks for, so no model is trained on them. `folio corpus stats` shows what each stage took."
        )
    return "a measured value is beyond its bound in the recipe, so nothing after this gate may use the model."


def _failed(bound: str, failure: str) -> bool:
    """Return whether a bound failed, by the table of a gate, in columns or with its cells stacked."""
    return re.search(rf"{bound} (margin )?\S+ (verdict )?FAILED", " ".join(failure.split())) is not None


class _Command(NamedTuple):
    """The command that ran a recipe. `changes`: its `--set`."""

    argument: str
    changes: tuple[str, ...]

    def with_one_of(self, *more: str) -> str:
        """Return the command with the first of these changes that the recipe accepts beside its own; "" if it accepts none."""
        for change in more:
            key = change.partition("=")[0]
            changes = (*(one for one in self.changes if one.partition("=")[0] != key), change)
            with suppress(RecipeError):
                load(self.argument, changes)
                return folio("run", self.argument, *(word for one in changes for word in ("--set", one)))
        return ""


def _commands(recipe: Recipe, ran: _Command, position: str, made: Mapping[str, Artifact]) -> Iterator[tuple[str, str]]:
    trained = made.get("pretrain")
    if position == "gate.base" and recipe.takes_steps and trained is not None:
        unit, length = ("steps", recipe.pretrain.steps) if recipe.pretrain.steps else ("tokens", recipe.pretrain.tokens)
        seconds = format_duration(trained.cost.wall_seconds * LONGER)
        if found := ran.with_one_of(f"pretrain.{unit}={length * LONGER}"):
            yield found, f"train {LONGER} times as long: {rough(length * LONGER)} {unit}, about {seconds}"
    if position == "gate.chat" and recipe.splits_of_tuning:
        yield from _gentler(recipe, ran)
    if position == "gate.base" and recipe.base is None:
        yield _init(ran.argument, "opened.yaml", "--base", "MODEL"), "write a recipe that starts from an open model"
        if recipe.takes_steps:
            yield _init(ran.argument, "counts.yaml", "--kind", "counts"), "write a recipe of the counts themselves, made in seconds"
    if position == "gate.corpus":
        yield folio("corpus", "stats", *_names(recipe, ran)), "what came in, what was taken out, and why"
    else:
        yield folio("chat", *_names(recipe, ran), "--unreleased"), "look at the model all the same"
    gate = position.removeprefix("gate.")
    if gate in type(recipe.gates).model_fields and (found := ran.with_one_of(f"gates.{gate}.overrule=the reason, in your words")):
        yield found, "let it pass, in writing"


def _gentler(recipe: Recipe, ran: _Command) -> Iterator[tuple[str, str]]:
    """Yield how to tune so that less is forgotten: rows of pretraining among those of the first step that has none, else smaller steps."""
    for at, step in enumerate(recipe.tuning):
        if not step.replay_share and (found := ran.with_one_of(*(f"tuning[{at}].replay={share}" for share in (0.25, 0.5)))):
            yield found, f"replay rows of pretraining in {step.name}"
            return
    step = recipe.tuning[0]
    if found := ran.with_one_of(f"tuning[0].learning_rate={step.learning_rate / GENTLER:g}"):
        yield found, f"a {GENTLER}th of the learning rate in {step.name}"


def _init(argument: str, file: str, *options: str) -> str:
    """Return the command that writes another recipe for a recipe's texts; beside it if `folio init` wrote it, else of some folder."""
    path = Path(argument)
    if path.name != RECIPE_FILE:
        return folio("init", "FOLDER", *options)
    return folio("init", str(path.parent), *options, "--output", str(path.parent / file))


def _names(recipe: Recipe, ran: _Command) -> list[str]:
    """Return what names the run's recipe in a command that takes no changes, with its store if a change may have moved it."""
    changed = {change.partition("=")[0] for change in ran.changes}
    settings = recipe.run_settings()
    url = open_store(settings["store"], settings["root"], settings["home"]).url if changed & {"name", "store", "root"} else ""
    return [recipe.name if "name" in changed else ran.argument, *(("--store", url) if url not in ("", store_url()) else ())]

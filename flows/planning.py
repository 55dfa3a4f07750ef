"""`folio plan`: the pipeline walked without executing anything."""

from __future__ import annotations

import difflib

from flows.loading import RecipeError, load
from tasks.stage.plan import WORDS, Decision
from tasks.stage.progress import clock
from tasks.stage.run import Options, asking
from tasks.stage.stage import Stage


def plan_recipe(name: str, changes: tuple[str, ...], refresh: frozenset[str], verify: bool) -> tuple[list[Decision], str]:
    """Every stage's decision in order, and the message of the gate that would stop the flow, if one would."""
    from flows.pipeline import compose
    from tasks.gate import GateFailed
    from tasks.stage.opening import open_run

    recipe = load(name, changes)
    with asking(Options(planning=True, refresh=refresh, verify=verify)), open_run(**recipe.run_settings()) as run:
        try:
            compose(recipe)
        except GateFailed as failed:
            return run.decisions, str(failed)
    return run.decisions, ""


def stages() -> dict[str, Stage]:
    """The stages of the pipeline by name."""
    from flows import base, chat, corpus, release

    found = (value for module in (corpus, base, chat, release) for value in vars(module).values())
    return {value.name: value for value in found if isinstance(value, Stage)}


def refreshing(asked: list[str] | None) -> frozenset[str]:
    """What `--refresh` names: stages, or places of a stage such as evaluate.base. Raises RecipeError for a name that is neither."""
    known = stages()
    for name in asked or ():
        if name.partition(".")[0] not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the stages are {', '.join(known)}."
            raise RecipeError(f"--refresh {name!r}: there is no stage of that name; {hint}")
    return frozenset(asked or ())


def plan_table(decisions: list[Decision], stopped: str) -> str:
    """The decisions as text: stage, what happens, what it last cost, why."""
    width = max(len(d.place) for d in decisions)
    lines = []
    for decision in decisions:
        record = decision.artifact or decision.last
        cost = clock(record.cost.wall_seconds) if record else "-"
        causes = decision.causes or ("nothing it depends on has changed",)
        lines.append(f"{decision.place:{width}}  {WORDS[decision.action]:8} {cost:>8}  {causes[0]}")
        shown, rest = causes[1:6], causes[6:]
        lines += [f"{'':{width}}  {'':8} {'':>8}  {cause}" for cause in shown]
        if rest:
            lines.append(f"{'':{width}}  {'':8} {'':>8}  and {len(rest)} more (folio plan --json)")
    counts = {word: sum(WORDS[d.action] == word for d in decisions) for word in WORDS.values()}
    lines.append(f"\n{', '.join(f'{n} {word}' for word, n in counts.items() if n)}; {_estimate(decisions)}")
    return "\n".join([*lines, stopped] if stopped else lines)


def _estimate(decisions: list[Decision]) -> str:
    """How long the run would take, as far as the last runs can tell."""
    ahead = [d for d in decisions if d.action != "reuse"]
    measured = [d.last.cost.wall_seconds for d in ahead if d.last]
    if not ahead:
        return "nothing to do"
    if not measured:
        return "how long is not known before they have run once"
    unknown = len(ahead) - len(measured)
    rest = f", and {unknown} that never ran" if unknown else ""
    return f"at most {clock(sum(measured))} by what they last took{rest}"

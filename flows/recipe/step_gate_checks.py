"""Gates of tuning steps that could not be judged, or whose bounds would do nothing, each with the way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from data.examples.config import ConversationExamples
from flows.recipe.gate_checks import CHAPTERS
from flows.recipe.validation_checks import nothing_held_out
from model.aims.step_gate import SPLIT, StepGate

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe


def step_gate_problems(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each gate of a step that does not fit the recipe."""
    gated = {f"{name}[{at}]": step for name in ("tuning", "adapters") for at, step in enumerate(getattr(recipe, name)) if step.gate}
    repeated = [name for name, count in Counter(step.name for step in gated.values()).items() if count > 1]
    if repeated:
        yield f"tuning and adapters have a step called {repeated[0]!r} each, and both have a gate; rename one"
    for section, step in gated.items():
        gate = step.gate or StepGate()
        if step.name in CHAPTERS:
            yield f"{section}.gate would be gate.{step.name}, which judges a chapter; give the step another name"
        if not step.MAKES_POLICY:
            yield from _costs_nothing(f"{section}.gate", step.kind, gate)
            continue
        if gate.most_bits_per_byte is not None and (key := nothing_held_out(recipe, SPLIT)):
            yield (
                f"{section}.gate.most_bits_per_byte={gate.most_bits_per_byte:g} is judged on the {SPLIT} split, and {key}=0 leaves that "
                "empty; raise it, or set most_bits_per_byte: null"
            )
        if gate.most_right_lost is not None and isinstance(recipe.examples, ConversationExamples) and recipe.examples.generated is None:
            yield (
                f"{section}.gate.most_right_lost={gate.most_right_lost:g} asks questions, and examples.generated=null makes none; generate "
                "some, such as by {kind: corpus}, or set most_right_lost: null"
            )


def _costs_nothing(section: str, kind: str, gate: StepGate) -> Iterator[str]:
    """Bounds on what a model costs that no later step goes on from."""
    for name in ("most_bits_per_byte", "most_right_lost"):
        default = StepGate.model_fields[name].default
        if getattr(gate, name) not in (None, default):
            yield f"{section}.{name}={getattr(gate, name):g} does nothing: kind={kind} leaves the policy as it was; leave it out"

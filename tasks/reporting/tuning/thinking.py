"""What tokens of thinking are worth: the share of right answers by the tokens that they took."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from tasks.reporting.charts import Curve, curve_chart
from tasks.reporting.page_cache import cached
from tasks.reporting.parts import Figure, figure
from tasks.reporting.wording import number, share

PREFIX, TOKENS = "thinking.", "_tokens"
KINDS = {"budget": ("one answer", "strong"), "majority": ("majority", "other"), "best": ("best by the reward model", "quiet")}
SAID = {"budget": "at most {} tokens of thinking", "majority": "majority of {}", "best": "best of {} by the reward model"}


def thinking_figure(metrics: Mapping[str, float], model: str) -> Figure | None:
    """Draw accuracy over budgets or votes for a model asked with several; None for any other."""
    measured = {
        name.removeprefix(PREFIX): value
        for name, value in metrics.items()
        if name.startswith(tuple(f"{PREFIX}{kind}_" for kind in KINDS)) and not name.endswith(TOKENS)
    }
    if not measured:
        return None
    curves, notes = list[Curve](), list[str]()
    for kind, (label, tone) in KINDS.items():
        tried = sorted((metrics[f"{PREFIX}{name}{TOKENS}"], value, name) for name, value in measured.items() if name.startswith(f"{kind}_"))
        if tried:
            curves.append(Curve(label, [(tokens, right) for tokens, right, _ in tried], tone, dots=True))
        notes += [f"{_said(name)}: {share(right)} for {number(tokens)} tokens" for tokens, right, name in tried]

    def draw(width: float) -> Markup:
        return cached(curve_chart, curves, width=width, height=0.5 * width + 40, x_label="tokens", y_label="share right", logarithmic=False)

    return figure(f"What thinking is worth, {model} model", draw, f"{'; '.join(notes)}.")


def _said(name: str) -> str:
    kind, _, count = name.partition("_")
    return SAID[kind].format(count)

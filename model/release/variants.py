"""The quantized forms of a release: which are close enough to the model, their card entries, and a plot of quality against size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.evaluation.gate import FILE, VERDICT
from model.networks.directory import ModelError
from model.quantization.config import quantizer_of
from model.quantization.protocol import Quantizer

PLOT = "variants.svg"
LEAST = 1e-6  # divergences below this are rounding


@dataclass(frozen=True)
class Variant:
    """A quantized form. `measured`: its metrics against the model, empty if not measured. `verdict`: of its bounds."""

    name: str
    directory: Path
    quantizer: Quantizer
    measured: Mapping[str, float]
    verdict: Mapping[str, Any]

    @property
    def released(self) -> bool:
        """Whether its bounds hold, or a person overruled them; without bounds it is."""
        return bool(not self.verdict or self.verdict["passed"] or self.verdict["overruled"])

    @property
    def bytes(self) -> int:
        """Size of its weights."""
        return (self.directory / self.quantizer.files[0]).stat().st_size

    def card_facts(self, parameters: int) -> dict[str, Any]:
        """Return its card entry. Every kind opens in folio, so only other tools are named."""
        failed = [
            f"{row['metric']} is {row['value']}, bound {row['bound']}" for row in self.verdict.get("rows", []) if row["verdict"] != "passed"
        ]
        return {
            "label": self.quantizer.label,
            "folder": self.name,
            "tools": [tool for tool in self.quantizer.opened_by if tool != "folio"],
            "released": self.released,
            "failed": "; ".join(failed),
            "overruled": self.verdict.get("overruled") or "",
            "megabytes": self.bytes / 1e6,
            "bits": 8 * self.bytes / parameters,
            "tool": self.verdict.get("tool", ""),
            "measured": dict(self.measured),
            "uses": [use._asdict() for use in self.quantizer.uses(self.name)] if self.released else [],
        }


def read_variants(variants: Mapping[str, Path], fidelity: Mapping[str, Path]) -> list[Variant]:
    """Return the forms with their measurements; ModelError for a directory that is not quantized."""
    found = []
    for name, directory in variants.items():
        quantizer = quantizer_of(directory)
        if quantizer is None:
            raise ModelError(f"{directory} is not quantized; quantize it, or leave it out")
        folder = fidelity.get(name)
        measured, verdict = ({}, {}) if folder is None else (json.loads((folder / file).read_text()) for file in (FILE, VERDICT))
        found.append(Variant(name, directory, quantizer, measured, verdict))
    return found


def full_precision(variants: Sequence[Variant], size: int, parameters: int) -> dict[str, Any]:
    """Return the model's own line of the table; empty if no form was measured against it."""
    measured = [variant.measured for variant in variants if variant.measured]
    return (
        {"megabytes": size / 1e6, "bits": 8 * size / parameters, "bits_per_byte": measured[0].get("parent_bits_per_byte")}
        if measured
        else {}
    )


def draw_variants(variants: Sequence[Variant], size: int, output: Path) -> str:
    """Draw divergence from the model against size into `output`, if any form was measured; return the file's name, or "".

    The same figures give the same bytes.
    """
    shown = [variant for variant in variants if "kl" in variant.measured]
    if not shown:
        return ""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "folio", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for number, variant in enumerate(sorted(shown, key=lambda one: one.bytes)):
            value, low, high = (max(variant.measured[f"kl{end}"], LEAST) for end in ("", "_low", "_high"))
            place, colour = variant.bytes / 1e6, "#1f6f8b" if variant.released else "#b3541e"
            axes.errorbar([place], [value], yerr=[[max(value - low, 0)], [max(high - value, 0)]], fmt="o", color=colour, capsize=3)
            text = variant.quantizer.label + ("" if variant.released else " (not released)")
            above = 7 if number % 2 else -14  # labels alternate above and below their points
            axes.annotate(text, (place, value), textcoords="offset points", xytext=(6, above), fontsize=9)
        axes.axvline(size / 1e6, color="#888888", linewidth=1, linestyle=":")
        axes.set(
            xlabel="weights, MB (dotted: full precision)", ylabel="divergence, nats a token", yscale="log", xlim=(0, size / 1e6 * 1.05)
        )
        axes.margins(y=0.2)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(output / PLOT, metadata={"Date": None, "Creator": None})
    return PLOT

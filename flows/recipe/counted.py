"""A recipe whose model is counted (`model: {kind: ngram}`): the defaults of its other sections, and what such a model refuses.

There is nothing to tune, to round or to open in transformers, and its gates ask that it needs no more bits than a model of single tokens:
the baseline of n-grams, which a trained model has to beat, is the same count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from model.networks.config import KINDS, NgramConfig
from model.training.config import PretrainConfig
from model.training.parallel.compatibility import layout_of

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe

BITS = "bits_per_byte"
# Ratios of the values themselves: a comparison by intervals takes six rows, which the end of a few short texts does not fill.
BOUNDS: dict[str, dict[str, Any]] = {
    "base": {"metric": f"base.val.{BITS}", "relative_to": f"baseline.unigram.val.{BITS}", "maximum": 1.0},
    "chat": {"metric": f"chat.val.{BITS}", "relative_to": f"base.val.{BITS}", "maximum": 1.0},
    "release": {"metric": f"release.test.{BITS}", "relative_to": f"baseline.unigram.test.{BITS}", "maximum": 1.0},
}
DEFAULTS: dict[tuple[str, ...], Any] = {
    ("tuning",): (),
    ("release", "variants"): (),
    ("export", "format"): "folio",
    **{("gates", chapter, "bounds"): (bound,) for chapter, bound in BOUNDS.items()},
}
# Keys of resources.training that speak of steps.
OF_STEPS = ("sample_every", "keep_in", "compile")


def with_counted_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's plain data with these defaults where its model is counted and it says nothing else."""
    data = dict(given)
    model = data.get("model")
    kind = KINDS.get(str(model.get("kind"))) if isinstance(model, Mapping) else type(model)
    if not isinstance(kind, type) or not issubclass(kind, NgramConfig):
        return data
    for path, value in DEFAULTS.items():
        _give(data, path, value)
    return data


def _give(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    name, *rest = path
    if not rest:
        data.setdefault(name, value)
    elif isinstance(inner := data.get(name, {}), Mapping):
        data[name] = dict(inner)
        _give(data[name], tuple(rest), value)


def counted_problems(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each key that a counted model can't follow."""
    network = recipe.model
    if not isinstance(network, NgramConfig):
        return
    is_so = f"model.kind={network.kind}"
    if recipe.base is not None:
        if recipe.pretrains:
            yield f"base is a model of kind={network.kind}, which is counted and can't be trained further; set base.pretrain=false"
    else:
        yield from _pretraining(recipe, is_so)
    for name in ("tuning", "adapters"):
        for step in getattr(recipe, name)[:1]:
            yield f"{name} has a step of kind={step.kind}, and {is_so} is counted, so no step can train it; set {name}: []"
    for variant in recipe.release.variants[:1]:
        yield f"release.variants has one of kind={variant.kind}, and {is_so} holds counts, which nothing rounds; set release.variants: []"
    if recipe.export.dtype != "float32":
        yield f"export.dtype={recipe.export.dtype} does nothing: {is_so} holds counts, which stay whole numbers; leave it out"
    same = (recipe.baseline.order, recipe.baseline.most_tokens) == (network.order, network.most_tokens)
    for chapter, gate in recipe.gates if same else ():
        for number, bound in enumerate(gate.bounds):
            if "baseline.ngram" in (bound.other(bound.metric) or bound.relative_to or ""):
                yield (
                    f"gates.{chapter}.bounds[{number}] compares {bound.metric} with baseline.ngram, and {is_so} is that count, so it would "
                    f"be compared with itself; compare with baseline.unigram, such as {{relative_to: {BOUNDS['base']['relative_to']}, "
                    "maximum: 1}"
                )


def _pretraining(recipe: Recipe, is_so: str) -> Iterator[str]:
    """Keys that speak of steps, or of how they are divided among workers."""
    plain, resources = PretrainConfig(), recipe.resources.training
    for key in type(recipe.pretrain).model_fields:
        value = getattr(recipe.pretrain, key)
        if value != getattr(plain, key, None) and (key != "precision" or value != plain.resolved().precision):
            shown = getattr(value, "kind", value)
            yield f"pretrain.{key}={shown} does nothing: {is_so} counts the training rows, once and without steps; leave it out"
    yield from recipe.model.layout_problems(layout_of(plain, resources, "pretrain.", "model.", "resources.training.parallel."))
    for key in OF_STEPS:
        if (value := getattr(resources, key)) != type(resources).model_fields[key].default:
            yield f"resources.training.{key}={value} does nothing: {is_so} is counted without steps; leave it out"

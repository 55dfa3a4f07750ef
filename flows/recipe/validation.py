"""Plain data checked as a recipe, with errors that name the key, its value and the way out.

A key that does not exist is answered with the nearest ones.

Say in plain words what is wrong with a recipe's value: what it must be, and how to write it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from data.sources.fetching.urls import hide_secrets
from flows.recipe.schema import Recipe
from flows.recipe.shorthands import LISTS, STEPS, written_key, written_text
from model.training.flat_keys import IDLE
from tasks.stage.system.command_line import did_you_mean

Context = Mapping[str, Any]
LISTED = 12
PLURALS = {"Tuple": "entry", "List": "entry", "Set": "entry", "Dictionary": "key", "String": "character"}


def _entries(number: int, kind: str) -> str:
    noun = PLURALS.get(kind, "entry")
    plural = noun if number == 1 else "entries" if noun == "entry" else f"{noun}s"
    return f"{number} {plural}"


def _too_short(context: Context, value: Any) -> str:
    least = _entries(context["min_length"], context.get("field_type", "Tuple"))
    return f"needs at least {least}, and has {'none' if not value else len(value)}"


def _too_long(context: Context, value: Any) -> str:
    return f"takes at most {_entries(context['max_length'], context.get('field_type', 'Tuple'))}, and has {len(value)}"


def _pattern(context: Context, value: Any) -> str:
    """Say what a pattern allows, with the nearest text that it would take."""
    pattern, text = context["pattern"], str(value)
    tries = (
        re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_"),
        re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._"),
        text.lower(),
        text.upper(),
    )
    like = next((attempt for attempt in tries if attempt and re.search(pattern, attempt)), "")
    if pattern.startswith("^[a-z0-9]") or pattern.startswith("^[a-z]["):
        allowed = "small letters, digits and _, beginning with a letter or a digit"
    elif pattern == "^[0-9a-f]{16}$":
        allowed = "16 of the digits 0-9 and a-f, as document ids are"
    elif pattern == "^[0-9a-f]{64}$":
        allowed = "64 of the digits 0-9 and a-f, as sha256sum prints them"
    elif pattern == "^[a-z]{2,3}$":
        allowed = "the two or three small letters of a language, such as en"
    elif pattern == "^[A-Z]{2}$":
        allowed = "the two capitals of a country, such as GB"
    elif pattern.endswith("B$"):
        allowed = "a number and its unit, such as 4GB or 512MB"
    elif "/" in pattern:
        allowed = "text without a slash"
    else:
        allowed = "letters, digits and . _ -, beginning with a letter or a digit"
    return f"takes {allowed}{f', such as {like}' if like else ''}"


def _choice(context: Context, value: Any) -> str:
    known = re.findall(r"'([^']*)'", str(context.get("expected", context.get("expected_tags", ""))))
    known = known or re.split(r", | or ", str(context.get("expected", "")))
    word = str(context.get("tag", value))
    return f"there is no {word!r} here{did_you_mean(word, known) or f'; choose one of {_listed(known)}'}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _bound(words: str, name: str) -> Callable[[Context, Any], str]:
    return lambda context, value: f"must be {words} {context[name]:g}"


def _always(words: str) -> Callable[[Context, Any], str]:
    return lambda context, value: words


def _number(words: str, like: str) -> Callable[[Context, Any], str]:
    """Say that a number is needed, and of one with a letter for its thousands how that is written."""

    def said(context: Context, value: Any) -> str:
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kKmMgGbB])", str(value))
        return f"needs {words}, such as {f'{float(found[1]) * THOUSANDS[found[2].lower()]:.0f}' if found else like}"

    return said


THOUSANDS = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
WHOLE, NUMBER = _number("a whole number", "8"), _number("a number", "0.5")
SWITCH, TEXT = _always("needs true or false"), _always("needs text; put it in quotes")
LIST, SECTION = _always("needs a list, such as [one, two]"), _always("needs keys of its own, such as {key: value}")
WORDS: Mapping[str, Callable[[Context, Any], str]] = {
    "bool_parsing": SWITCH,
    "bool_type": SWITCH,
    "dict_type": SECTION,
    "enum": _choice,
    "finite_number": _always("needs a number that is neither infinite nor nan"),
    "float_parsing": NUMBER,
    "float_type": NUMBER,
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "int_from_float": WHOLE,
    "int_parsing": WHOLE,
    "int_type": WHOLE,
    "less_than": _bound("less than", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "literal_error": _choice,
    "model_attributes_type": SECTION,
    "model_type": SECTION,
    "string_pattern_mismatch": _pattern,
    "string_too_short": lambda context, value: _too_short({**context, "field_type": "String"}, value),
    "string_type": TEXT,
    "too_long": _too_long,
    "too_short": _too_short,
    "tuple_type": LIST,
    "union_tag_invalid": _choice,
}


def sentence(item: Mapping[str, Any]) -> str:
    """Return what one error of pydantic's says, without the value that was given."""
    words = WORDS.get(item["type"])
    return words(item.get("ctx", {}), item["input"]) if words else str(item["msg"]).removeprefix("Value error, ")


def given(value: Any, most: int = 200) -> str:
    """Return a value as a recipe would write it, not too long."""
    if isinstance(value, float):
        return f"{value:g}"
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


class RecipeError(ValueError):
    """A recipe can't be found, read or accepted. The message repeats what was given without the secrets of its URLs."""

    def __init__(self, message: str) -> None:
        super().__init__(hide_secrets(message))


def validate(data: dict[str, Any], where: str) -> Recipe:
    """Return the recipe that `data`, read from `where`, describes. Raises RecipeError with one line for each error."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        found = error.errors()
        # An entry that is wrong counts as none.
        inner = {tuple(item["loc"][:length]) for item in found for length in range(len(item["loc"]))}
        wrong = [item for item in found if item["type"] != "too_short" or item["loc"] not in inner]
        raise RecipeError(f"{where} is not a valid recipe:\n" + "\n".join(_explain(item, data) for item in wrong)) from error


def _explain(item: Any, data: dict[str, Any]) -> str:
    key, value = ".".join(str(part) for part in written_key(tuple(_without_kinds(item["loc"])), data)), item["input"]
    if item["type"] == "extra_forbidden":
        return f"  {key}: unknown key (value {given(value)}){_instead(item['loc'], data)}"
    if item["type"] == "missing":
        return f"  {key}: missing; every recipe needs it"
    if item["type"] == "union_tag_not_found":
        return f"  {key}: no kind; say which it is, such as `kind: files`"
    if item["type"] == IDLE:
        return f"  {key}.{item['msg'].replace(' while ', f' while {key}.', 1)}"
    if item["type"] == "union_tag_invalid":
        return f"  {key}.kind: {sentence(item)} (given: {given(item['ctx']['tag'])})"
    shown = "" if isinstance(value, (dict, BaseModel)) and item["type"] == "value_error" else f" (given: {given(value)})"
    return f"  {key}{': ' * bool(key)}{written_text(sentence(item), data)}{shown}"


# What other tools call a key -> folio's names for it.
ELSEWHERE = {
    "lr": ("learning_rate",),
    "batch_size": ("global_batch",),
    "epochs": ("steps", "tokens"),
    "iterations": ("steps",),
    "max_steps": ("steps",),
    "hidden": ("width",),
    "hidden_size": ("width",),
    "dim": ("width",),
    "d_model": ("width",),
    "n_embd": ("width",),
    "depth": ("layers",),
    "num_layers": ("layers",),
    "n_layer": ("layers",),
    "num_heads": ("heads",),
    "n_head": ("heads",),
    "block_size": ("context", "sequence_length"),
    "seq_len": ("context", "sequence_length"),
    "max_length": ("context", "sequence_length"),
    "vocab": ("vocab_size",),
    "gpus": ("workers",),
    "devices": ("workers",),
}
# What no key says, since folio finds it out.
FOUND_OUT = {"device": "a GPU is used if PyTorch sees one; folio doctor says whether it does."}
TYPO = 0.8  # likeness from which a name is taken for the one that was meant


def _instead(location: tuple[Any, ...], data: Mapping[str, Any]) -> str:
    """Return what to write for a key that its place does not take: the name that was meant, or the places that take it."""
    word, known = str(location[-1]), _sibling_keys(location)
    if hint := did_you_mean(word, known, TYPO) or _other_kinds(location):
        return hint
    if word in FOUND_OUT:
        return f"; no key is needed: {FOUND_OUT[word]}"
    others = ELSEWHERE.get(word, ())
    if here := [name for name in others if name in known]:
        return f"; use {' or '.join(here)}."
    for name in (word, *others):
        if places := _places(name, str(location[0]) if len(location) > 1 else "", data):
            return f"; write it as {' or '.join(places)}."
    return did_you_mean(word, known) or f"; known keys here: {', '.join(known)}."


def _other_kinds(location: tuple[Any, ...]) -> str:
    """Return `; only kind ... has it.` if the section that a location begins with has the key in another kind; empty if none has."""
    section, word = Recipe.model_fields.get(str(location[0])), str(location[-1])
    models = _models(section.annotation) if section and len(location) > 1 else []
    kinds = [model.model_fields["kind"].default for model in models if word in model.model_fields and "kind" in model.model_fields]
    return f"; only kind {' or '.join(map(str, kinds))} has it." if kinds else ""


def _places(word: str, inside: str, data: Mapping[str, Any]) -> list[str]:
    """Return the keys of that name that a recipe takes, as it writes them: in the section `inside` if there are any, else near the top.

    None are in a section that the recipe leaves without effect.
    """
    level = [(name, model, own) for name, model, own in _sections(data) if name.partition("[")[0] not in _without_effect(data)]
    nearest: list[str] = []
    while level:
        found = [f"{path}.{word}" for path, model, _ in level if word in model.model_fields]
        if within := [path for path in found if path.partition(".")[0] == inside]:
            return within
        nearest = nearest or found
        level = [
            (f"{path}.{name}", _of_kind(_models(field.annotation), below, default), below)
            for path, model, own in level
            for name, field in model.model_fields.items()
            for default in [field.get_default(call_default_factory=True)]
            for below in [own.get(name) if isinstance(own, Mapping) else None]
            if isinstance(default, BaseModel)
        ]
    return nearest


def _without_effect(data: Mapping[str, Any]) -> set[str]:
    """Return the sections whose keys are refused as doing nothing: a counted model is not trained, an open one brings its own shape."""
    base = data.get("base")
    network = _of_kind(_models(Recipe.model_fields["model"].annotation), data.get("model"), Recipe.model_fields["model"].get_default())
    counted = {"pretrain", "tuning", "adapters", *STEPS} if "gradients" not in getattr(network, "SUPPORTS", ()) else set()
    opened = {"model", "tokenizer", *([] if isinstance(base, Mapping) and base.get("pretrain") else ["pretrain"])} if base else set()
    return counted | opened


def _sections(data: Mapping[str, Any]) -> Iterator[tuple[str, type[BaseModel], Any]]:
    """Yield the sections that a recipe has or may add, of its own lists the first entry, with the model of its kind and its own data."""
    for name, field in Recipe.model_fields.items():
        models, default, own = _models(field.annotation), field.get_default(call_default_factory=True), data.get(name)
        if not models:
            continue
        if not isinstance(default, tuple):
            yield name, _of_kind(models, own, default), own
        elif own is not None:
            first = own[:1] if isinstance(own, list) else ()
            yield from ((f"{name}[{at}]", _of_kind(models, one, None), one) for at, one in enumerate(first))
        else:
            steps = [(one.name if one.name in LISTS else f"{name}[{at}]", one) for at, one in enumerate(default)]
            yield from ((written, type(one), data.get(written)) for written, one in steps)


def _of_kind(models: list[type[BaseModel]], own: Any, default: Any) -> type[BaseModel]:
    kinds = {model.model_fields["kind"].default: model for model in models if "kind" in model.model_fields}
    named = own.get("kind") if isinstance(own, Mapping) else own if isinstance(own, str) else None
    return kinds.get(named) or (type(default) if isinstance(default, BaseModel) else models[0])


def _without_kinds(location: tuple[Any, ...]) -> list[Any]:
    """Return an error's location without the kind of a section, which is not a key of the recipe. An entry of a list keeps its kind."""
    models: list[type[BaseModel]] = [Recipe]
    kept: list[Any] = []
    for part in location:
        inside, chosen = _entered(models, part)
        kept += [] if chosen and not isinstance(kept[-1], int) else [part]
        models = inside or chosen or models
    return kept


def _sibling_keys(location: tuple[Any, ...]) -> list[str]:
    """Return the keys that exist next to the last part of an error's location."""
    models: list[type[BaseModel]] = [Recipe]
    for part in location[:-1]:
        inside, chosen = _entered(models, part)
        models = inside or chosen or models
    shorthands = LISTS if models == [Recipe] else ()
    return sorted({*shorthands, *(name for model in models for name in model.model_fields)})


def _entered(models: list[type[BaseModel]], part: Any) -> tuple[list[type[BaseModel]], list[type[BaseModel]]]:
    """Return the models inside the field that a part of a location names and, if it names none, those of the kind that it is.

    A part that is neither is an index in a list.
    """
    inside = [found for model in models if part in model.model_fields for found in _models(model.model_fields[part].annotation)]
    field = any(part in model.model_fields for model in models)
    chosen = [model for model in models if "kind" in model.model_fields and model.model_fields["kind"].default == part]
    return inside, [] if field else chosen


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in an annotation such as `tuple[A | B, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]

"""Note which models with a tag are made, each when it is first made, and whether pydantic has refused a value.

A union that a tag decides between makes one of its members; which one, no name in the code says. However a model is made, by its name,
from JSON, as a part of another or by a copy, Python calls its class's `__new__`. A refused value makes no model, so nobody can
say whose fields refused it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from tasks.stage.identity.tracing.patched_imports import PatchedImport

TAG = "kind"
ANY = "*"
# Where pydantic's errors come from: module -> class -> methods.
ENTRANCES = {
    "pydantic.main": ("BaseModel", ("__init__", "model_validate", "model_validate_json", "model_validate_strings")),
    "pydantic.root_model": ("RootModel", ("__init__",)),
    "pydantic.type_adapter": ("TypeAdapter", ("validate_python", "validate_json", "validate_strings")),
}


def watch_models(module: str, namespace: dict[str, Any], note: Callable[[str], None]) -> None:
    """Have the tagged models of a module call `note` with their name when they are first made."""
    for value in list(namespace.values()):
        if isinstance(value, type) and value.__module__ == module and "." not in value.__qualname__ and _is_tagged(value):
            _watch(value, note)


def _is_tagged(owner: type) -> bool:
    own = vars(owner)
    # As it stands there: whoever evaluates it reads the module, which counts as reading all its names.
    return "__pydantic_fields__" in own and "Literal" in str(own.get("__annotations__", {}).get(TAG))


def _watch(owner: type, note: Callable[[str], None]) -> None:
    inherited: Any = owner.__new__
    made = False

    def __new__(cls: type, *arguments: Any, **named: Any) -> Any:
        nonlocal made
        if not made:
            made = True
            note(owner.__qualname__)
        return inherited(cls) if inherited is object.__new__ else inherited(cls, *arguments, **named)

    # Taken away again, it would leave Python's own slot for it changed.
    type.__setattr__(owner, "__new__", staticmethod(__new__))


def refusals(note: Callable[[], None]) -> list[PatchedImport]:
    """Return finders that have pydantic call `note` whenever it refuses a value."""
    return [PatchedImport(name, functools.partial(_tell_refusals, *entrance, note)) for name, entrance in ENTRANCES.items()]


def _tell_refusals(owner: str, methods: tuple[str, ...], note: Callable[[], None], module: ModuleType) -> None:
    for method in methods:
        setattr(getattr(module, owner), method, _telling(vars(getattr(module, owner))[method], note))


def _telling(method: Any, note: Callable[[], None]) -> Any:
    is_class_method = isinstance(method, classmethod)
    original = method.__func__ if is_class_method else method

    @functools.wraps(original)
    def telling(*arguments: Any, **named: Any) -> Any:
        try:
            return original(*arguments, **named)
        except ValueError:
            note()
            raise

    return classmethod(telling) if is_class_method else telling

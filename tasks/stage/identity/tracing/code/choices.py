"""Find unions of models that a tag decides between, such as `Annotated[Adam | Lion, Field(discriminator="kind")]`.

pydantic chooses the member by a value's tag alone, so a member that was never made can't matter.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

from tasks.stage.identity.tracing.code.effects import chain_of
from tasks.stage.identity.tracing.code.facts import Chain
from tasks.stage.identity.tracing.code.normal import Style
from tasks.stage.identity.tracing.made_models import TAG


class Union(NamedTuple):
    """A union that a module gives a name. `frame`: its type without the members, if a tag decides between them."""

    members: tuple[Chain, ...]
    frame: ast.Expr | None


def union_of(node: ast.stmt, style: Style) -> Union | None:
    """Return the union that a statement names; None for any other statement, and for members that are more than names."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        value: ast.expr | None = node.value
    else:
        value = node.value if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else None
    if value is None:
        return None
    if members := _members(value):
        return Union(members, None) if len(members) > 1 else None
    if not isinstance(value, ast.Subscript) or _last(value.value) != "Annotated" or not isinstance(value.slice, ast.Tuple):
        return None
    first, *others = value.slice.elts
    if not (members := _members(first)) or not any(_decides(other, style) for other in others):
        return None
    frame = ast.Subscript(value.value, ast.Tuple([ast.Constant(None), *others], ast.Load()), ast.Load())
    return Union(members, ast.Expr(frame))


def tags_of(node: ast.ClassDef) -> tuple[str, ...]:
    """Return the tags that choose a class; empty if it has none as literals."""
    for inner in node.body:
        if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name) and inner.target.id == TAG:
            annotation = inner.annotation
            if isinstance(annotation, ast.Subscript) and _last(annotation.value) == "Literal":
                parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
                tags = tuple(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
                return tags if len(tags) == len(parts) else ()
    return ()


def _members(node: ast.expr) -> tuple[Chain, ...]:
    """Return the members of a union or a single name; none if one of them is anything else."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        left, right = _members(node.left), _members(node.right)
        return (*left, *right) if left and right else ()
    if isinstance(node, ast.Subscript) and _last(node.value) == "Union" and isinstance(node.slice, ast.Tuple):
        parts = [_members(part) for part in node.slice.elts]
        return tuple(chain for part in parts for chain in part) if all(parts) else ()
    return (chain,) if (chain := chain_of(node)) else ()


def _decides(node: ast.expr, style: Style) -> bool:
    """Return whether this is pydantic's `Field(discriminator="kind")`."""
    if not isinstance(node, ast.Call) or (chain_of(node.func) or ("",))[0] not in style.fields or _last(node.func) != "Field":
        return False
    return any(
        keyword.arg == "discriminator" and isinstance(keyword.value, ast.Constant) and keyword.value.value == TAG
        for keyword in node.keywords
    )


def _last(node: ast.expr) -> str:
    return (chain_of(node) or ("",))[-1]

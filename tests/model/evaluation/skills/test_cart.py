"""The language of carts: what programs do, and that every text ends."""

from __future__ import annotations

import time

import pytest

from model.evaluation.skills.rules import Cart, CartError

MAKES = {"Oster": "tin", "Brack": "wool"}


def left(program: str, town: str = "Brack") -> dict[str, int]:
    cart = Cart(MAKES, 5)
    cart.run(program)
    return dict(cart.left[town])


def test_goods_are_loaded_where_they_are_made_and_left_where_the_cart_is_unloaded() -> None:
    assert left("go Oster\nload 3\ngo Brack\nunload") == {"tin": 3}
    assert left("go Oster\nload 3\ngo Brack\nload 2\nunload") == {"tin": 3, "wool": 2}
    assert left("go Oster\nload 3\ngo Brack") == {}


def test_loops_repeat_what_is_inside_them() -> None:
    assert left("repeat 3\ngo Oster\nload 5\ngo Brack\nunload\nend") == {"tin": 15}
    assert left("repeat 2\nrepeat 2\ngo Oster\nload 1\nend\ngo Brack\nunload\nend") == {"tin": 4}


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("", "1 to 40 lines, this one 0"),
        ("load 3", "'load 3' can't be done"),
        ("go Nowhere", "line 1: 'go Nowhere' can't be done"),
        ("go Oster\nload 6", "line 2: the cart holds 5, not 6"),
        ("go Oster\nload -1", "'-1' is not a number from 1 to 99"),
        ("go Oster\nload 1000000000000", "is not a number"),
        ("repeat 2\ngo Oster", "line 1: repeat without end"),
        ("end", "'end' can't be done"),
        ("go Oster please", "can't be done"),
        ("fly Oster", "can't be done"),
        ("go Oster\n" * 41, "this one 41"),
        ("repeat 99\nrepeat 99\ngo Oster\nend\nend", "more than 400 steps"),
        ("repeat 1\n" * 5 + "go Oster\n" + "end\n" * 5, "more than 3 loops"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_line(program: str, message: str) -> None:
    began = time.monotonic()
    with pytest.raises(CartError, match=message):
        Cart(MAKES, 5).run(program)
    assert time.monotonic() - began < 1

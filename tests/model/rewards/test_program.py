"""Programs that a model writes: what Python gives they give, what is not known is refused, and whatever is written ends at once."""

from __future__ import annotations

import textwrap
import time
from random import Random
from typing import Any

import pytest

from data.problems.config import ProgramProblems
from data.problems.make import program_rows
from model.rewards.answers import Question
from model.rewards.kinds import ProgramReward, Reply, is_solved
from model.rewards.programs.interpreter import run_program
from model.rewards.programs.operations import ProgramError, parse_program

DOUBLE: Question = {
    "question": "Write a function f of x that doubles x.",
    "answers": ["def f(x):\n    return x * 2"],
    "fact": "double",
    "function": "f",
    "trials": [{"inputs": [1], "output": 2}, {"inputs": [-3], "output": -6}, {"inputs": [2], "output": 4}, {"inputs": [0], "output": 0}],
}
ALIKE = [
    ("def f(x):\n    return x * 3 + 2 - 7 // 2 % 4 ** 2", [5]),
    ("def f(xs):\n    n = 0\n    for x in xs:\n        if x % 2 == 0:\n            continue\n        n += x\n    return n", [[1, 2, 3]]),
    ("def f(n):\n    a, b = 0, 1\n    while n > 0:\n        a, b = b, a + b\n        n -= 1\n    return a", [20]),
    ("def g(n):\n    return 1 if n < 2 else n * g(n - 1)\ndef f(n):\n    return g(n)", [12]),
    ("def f(s):\n    return ' '.join(reversed([w.upper() for w in s.split() if len(w) > 1]))", ["a bee is in"]),
    ("def f(xs):\n    ys = sorted(xs, reverse=True)\n    ys[0] = -1\n    return ys[1:] + [max(ys), ys[-1], ys[0]]", [[3, 9, 4]]),
    ("def f(xs):\n    return [x * y for x in xs for y in range(1, 3) if x > 1]", [[1, 2, 3]]),
    ("def f(x):\n    return 0 < x <= 5 and not x == 3 or x is None", [3]),
    ("def f(xs):\n    for i, x in enumerate(xs):\n        if x in 'aeiou':\n            break\n    return [i, x, str(i) + x]", ["strange"]),
    ("def f(x):\n    '''Half of it.'''\n    return x / 2", [7]),
    ("def f(xs):\n    xs += [1]\n    xs.append(2)\n    return sum(xs) + len(xs) + int('4') + abs(-2)", [[5]]),
]  # fmt: skip
REFUSED = [
    "import os\ndef f(x):\n    return x",
    "def f(x):\n    import os\n    return x",
    "def f(x):\n    return __import__('os')",
    "def f(x):\n    return x.__class__",
    "def f(x):\n    return open('/etc/passwd')",
    "def f(x):\n    return eval('1')",
    "def f(x):\n    return (lambda: x)()",
    "def f(x):\n    return '{0.__class__}'.format(x)",
    "def f(x):\n    return '%999999999d' % x",
    "def f(x):\n    return 10 ** 10 ** 10",
    "def f(x):\n    return 'a' * 10 ** 9",
    "def f(x):\n    return [0] * 10 ** 9",
    "def f(x):\n    return range(10 ** 17)",
    "def f(x):\n    while True:\n        pass",
    "def f(x):\n    return f(x)",
    "def f(x):\n    a = [x]\n    for i in range(99):\n        a = [a, a]\n    return a == a[0]",
    "def f(x):\n    a = []\n    a.append(a)\n    return a == a",
    "def f(x):\n    a = 'ab'\n    for i in range(60):\n        a = a.replace('a', a)\n    return a",
    "def f(x):\n    for y in [1]:\n        [x].extend([x])\n    return " + "-" * 500 + "x",
    "def f(x):\n    return x\nf(1)",
    "def f(x, *y):\n    return x",
    "def f(x):\n    return y",
    "def f(x):\n    break",
    "f = 3",
    "",
    "def f(x)",
    "(" * 300,
    "def f(x):\n    return sum([[x]] * 50, [])",
]


def ran(text: str, inputs: list[Any]) -> Any:
    return run_program(parse_program(text), "f", inputs, 4000)


@pytest.mark.parametrize(("text", "inputs"), ALIKE)
def test_a_program_gives_what_python_gives(text: str, inputs: list[Any]) -> None:
    names: dict[str, Any] = {}
    exec(text, names)  # ours, above
    given = [list(one) if isinstance(one, list) else one for one in inputs]
    assert ran(text, inputs) == names["f"](*given)


@pytest.mark.parametrize("text", REFUSED)
def test_what_reaches_out_or_takes_too_much_is_refused(text: str) -> None:
    with pytest.raises(ProgramError):
        ran(text, [3])


def test_a_program_changes_no_hidden_input() -> None:
    inputs = [[1, 2]]
    assert ran("def f(xs):\n    xs.append(3)\n    return xs", inputs) == [1, 2, 3] and inputs == [[1, 2]]


@pytest.mark.parametrize(
    ("reply", "earned"),
    [
        ("def f(x):\n    return x * 2", 1.0),
        ("<think>\nTwice.\n</think>\n\ndef f(x):\n    return x + x", 1.0),
        ("Here it is:\n```python\ndef f(x):\n    return x * 2\n```\nDone.", 1.0),
        ("def f(x):\n    return x ** 2", 0.5),
        ("def f(x):\n    return 2", 0.25),
        ("def g(x):\n    return x * 2", 0.0),
        ("def f(x):\n    return True", 0.0),
        ("It is twice x.", 0.0),
    ],
)
def test_the_share_of_hidden_inputs_answered_right_is_the_reward(reply: str, earned: float) -> None:
    assert ProgramReward().build().score(Reply(DOUBLE, reply, True)) == earned
    assert is_solved(reply, DOUBLE) == (earned == 1)


def test_a_question_that_asks_for_no_program_earns_nothing() -> None:
    asked: Question = {"question": "Who?", "answers": ["Ada"], "fact": "f"}
    assert ProgramReward().build().score(Reply(asked, "def f(x):\n    return x", True)) == 0


def test_whatever_a_model_writes_ends_and_earns_the_same_again() -> None:
    """Known programs, cut, joined and stirred: what earns something is a number from 0 to 1, and nothing is raised."""
    rng = Random(0)
    known = [row["answers"][0] for row in program_rows(ProgramProblems(taught=20, asked=20, heldout=20))[1]]
    known += [text for text, _ in ALIKE] + [text for text in REFUSED if text]
    earn = ProgramReward(steps=1000).build().score
    for _ in range(400):
        one, other = rng.choice(known), rng.choice(known)
        cut = one[: rng.randrange(len(one) + 1)] + other[rng.randrange(len(other)) :]
        place = rng.randrange(len(cut) + 1)
        cut = cut[:place] + rng.choice(["", "(", "\n    ", "0", "[x]", " * ", ".append", "\x00", "é"]) + cut[place:]
        earned = earn(Reply(DOUBLE, cut, True))
        assert 0 <= earned <= 1 and earned == earn(Reply(DOUBLE, cut, True)), cut


FENCES = (
    *(
        "```python\n{}```",
        "```Python\n{}```",
        "``` py3 \n{}\n```",
        "```\n{}",
        "So:\n```PYTHON\n{}",
        "{}",
        "\n\n{}\n\n",
        "~~~python\n{}\n~~~",
    ),
    *(
        "````python\n{}\n````",
        "```{{.python}}\n{}```",
        "```python title='f.py'\n{}```",
        "1. So:\n   ```python\n{}\n   ```",
        "```python\n{}``",
    ),
)


@pytest.mark.parametrize("fence", FENCES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_program_is_found_however_it_is_fenced(fence: str, newline: str) -> None:
    lines = "def f(x):\n    return x * 2\n"
    reply = fence.format(textwrap.indent(lines, "   ") if "   ```" in fence else lines).replace("\n", newline)
    assert ProgramReward().build().score(Reply(DOUBLE, reply, True)) == 1.0


@pytest.mark.parametrize("part", ["`", "~", "```", "```\n", "~~~ ", "` ", "\n "])
def test_a_reply_of_nothing_but_fences_is_read_at_once(part: str) -> None:
    began = time.process_time()
    assert ProgramReward().build().score(Reply(DOUBLE, part * (1_000_000 // len(part)), True)) == 0.0
    assert time.process_time() - began < 2


def test_replacing_within_a_count_is_charged_as_replacing_all() -> None:
    for count in ("", ", 10**9", ", -1"):
        body = f"    s = 'a' * 900\n    for i in range(30):\n        s = s.replace('a', 'aaaaaaaaaaaaaaaa'{count})\n    return len(s)"
        program = f"def f(x):\n{body}"
        with pytest.raises(ProgramError):
            run_program(parse_program(program), "f", [1], 100_000)

"""Sequences of symbols that have one right end, and the questions that ask for it.

A sequence is a text: its task, symbols, a question mark, and the end.

    recall ka va kb vb ? kb vb ka va          values of keys (Arora et al. 2023, "Zoology"); every second word after the mark
    induction a b c ? b c                     what followed a symbol before (Olsson et al. 2022)
    copying a b c ? a b c                     the symbols again (Jelassi et al. 2024, "Repeat after me")
    selective copying . a . b ? a b           those among blanks (Gu and Dao 2023, "Mamba")
    parity 0 1 ? 1 0 1 1 ? 0                  the sum of bits modulo 2, since the end before
    permutations bac acb ? bca                their product, since the end before (Merrill et al. 2024, "The illusion of state")

Each symbol is one word for every kind of tokenizer that knows words: letters, after a space. No two texts are alike, so what is held out
was never read. Of bits and permutations there are few short sequences, from which alone their longer ones are learned; so several stand in
a text, and the end of the last is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations, product
from pathlib import Path
from random import Random
from string import ascii_lowercase
from typing import Any

from data.conversations.records import write_rows
from data.documents.sharding import split_files
from data.documents.stream import merged
from data.synthetic.config import DRAWS, SymbolsMaker

MARK, BLANK = "?", "."
BITS = ("0", "1")
NOTHING = ("instructions_train", "instructions_val", "preferences_train", "preferences_val")
Words = list[str]


def sequences(maker: SymbolsMaker) -> Iterator[str]:
    """Yield `count` different sequences in an order that the seed decides; with a larger count the same ones come first.

    Raise ValueError if so many are hardly to be found."""
    random, made = Random(f"symbols:{maker.seed}:{maker.task}"), set[str]()
    for _ in range(DRAWS * maker.count):
        before, end = _drawn(maker, random)
        text = " ".join([*maker.task.split("_"), *before, MARK, *end])
        if text not in made:
            made.add(text)
            yield text
            if len(made) == maker.count:
                return
    raise ValueError(
        f"task={maker.task} with symbols={maker.symbols} and lengths {maker.shortest} to {maker.longest} gave {len(made)} different "
        f"sequences, and count={maker.count} asks for more; lower it, or raise longest"
    )


def names(symbols: int, first: str = "") -> Words:
    """Return so many words of letters, all of one length, that begin with `first`."""
    size = next(size for size in range(1, 4) if 26**size >= symbols)
    return [first + "".join(letters) for letters, _ in zip(product(ascii_lowercase, repeat=size), range(symbols), strict=False)]


def _drawn(maker: SymbolsMaker, random: Random) -> tuple[Words, Words]:
    """Return the words before the mark, and those after it."""
    length, known = random.randint(maker.shortest, maker.longest), names(maker.symbols, "s")
    match maker.task:
        case "recall":
            pairs = [(key, random.choice(names(maker.symbols, "v"))) for key in random.sample(names(maker.symbols, "k"), length)]
            asked = random.sample(pairs, min(maker.queries, length))
            return [word for pair in pairs for word in pair], [word for pair in asked for word in pair]
        case "induction":
            asked_for = random.choice(known)
            others = [random.choice([name for name in known if name != asked_for]) for _ in range(max(1, length - 1))]
            place = random.randrange(len(others))
            return [*others[:place], asked_for, *others[place:]], [asked_for, others[place]]
        case "copying":
            copied = [random.choice(known) for _ in range(length)]
            return copied, copied
        case "selective_copying":
            copied = [random.choice(known) for _ in range(length)]
            spread, left = [BLANK] * (length + maker.blanks), iter(copied)
            for place in sorted(random.sample(range(len(spread)), length)):
                spread[place] = next(left)
            return spread, copied
        case "parity":
            return _in_turn([[random.choice(BITS) for _ in range(size)] for size in _lengths(maker, random)], _parity)
        case "permutations":
            things = ascii_lowercase[: maker.symbols]
            drawn = [["".join(random.sample(things, maker.symbols)) for _ in range(size)] for size in _lengths(maker, random)]
            return _in_turn(drawn, _composed)


def _lengths(maker: SymbolsMaker, random: Random) -> list[int]:
    """Return the lengths of a text's sequences: the last is the longest, and of the others the shorter are the more, since they teach."""
    most = (random.randint(maker.shortest, maker.longest) for _ in range(maker.queries - 1))
    return [*(random.randint(maker.shortest, one) for one in most), maker.longest]


def _in_turn(drawn: Sequence[Words], end_of: Callable[[Words], str]) -> tuple[Words, Words]:
    """Return sequences one after the other, each with its end, up to the last one's mark; and that one's end."""
    *before, last = drawn
    return [*(word for words in before for word in (*words, MARK, end_of(words))), *last], [end_of(last)]


def _parity(bits: Words) -> str:
    return BITS[bits.count("1") % 2]


def _composed(moves: Words) -> str:
    """Return where each thing is after all moves, from its own place."""
    things = sorted(moves[0])
    after = things
    for move in moves:
        after = [after[things.index(letter)] for letter in move]
    return "".join(after)


def question_of(text: str) -> dict[str, Any]:
    """Return a text as a question: all but what follows from it, which is the last word, or all words that copying repeats."""
    before, _, end = text.rpartition(f" {MARK} ")
    task, *words = before.split()
    after = end.split()
    repeats = task in ("copying", "selective")
    asked, answer = ([], after) if repeats else (after[:-1], after[-1:])
    if repeats:
        told = [word for word in words if word not in (BLANK, "copying")]
        # What a guesser knows is which symbols there were.
        offered: dict[str, Any] = {"chance": len(set(told)) ** -len(told)}
    else:
        offered = {"choices": _choices(task, words)}
    question = " ".join([before, MARK, *asked])
    fact = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {"question": question, "answers": [" ".join(answer)], "exact": True, "fact": f"{task}:{fact}", **offered}


def _choices(task: str, words: Sequence[str]) -> Words:
    """Return what a guesser chooses from who knows the form of the sequence, and nothing of the order of its words."""
    if task == "permutations":
        return sorted("".join(places) for places in permutations(sorted(words[0])))
    return sorted({"recall": set(words[1::2]), "parity": set(BITS)}.get(task, set(words)))


def symbol_examples(splits: Sequence[Path], output: Path, most: int) -> dict[str, float]:
    """Write questions about the texts of train, and of validation and test, each by id; the other files of examples are empty.

    Raise ValueError for a text that is no sequence of symbols."""
    output.mkdir(parents=True, exist_ok=True)
    asked = {"questions_seen": ("train",), "questions_heldout": ("val", "test")}
    rows = {name: [row for part in parts for row in _questions(split_files(splits, part))][:most] for name, parts in asked.items()}
    return {name: write_rows(output / f"{name}.jsonl", rows.get(name, [])) for name in (*NOTHING, *rows)}


def _questions(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for table in merged(files, ("id", "text")):
        for row in table.to_pylist():
            if f" {MARK} " not in row["text"]:
                raise ValueError(
                    f"document {row['id']} is no sequence of symbols: {row['text'][:60]!r}; examples.kind=symbols needs a source of kind "
                    "synthetic with a maker of kind symbols, and no other"
                )
            yield {**question_of(row["text"]), "books": [row["id"]]}

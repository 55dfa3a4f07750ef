"""Confusion matrix of the detection of personal data: sentences in which it is known, by the kind that is found there.

Sentences whose personal data is known, about the people and towns of the universe, and sentences whose numbers are nobody's.

The forms are those in which people write such data, among them forms that redaction can't know without `regions`, or doesn't know at all.
Values are drawn until the check digits of their kind are right, so none is known to be anybody's. The same seed gives the same sentences.
"""

from __future__ import annotations

import json
import random
import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import cycle, islice
from pathlib import Path

from data.filtering.config import KINDS, PiiConfig
from data.filtering.observed_files import ObservedFiles
from data.filtering.pii.identifiers import load_validator
from data.filtering.pii.kinds import Finder, enabled_kinds
from data.filtering.pii.names import load_names
from data.filtering.pii.redact import find_all
from data.universe.world import MEN, PRODUCTS, TOWNS, WOMEN

NOTHING = "nothing"
Draw = Callable[[random.Random], str]
LETTERS, CAPITALS = string.ascii_lowercase, string.ascii_uppercase


@dataclass(frozen=True)
class Labelled:
    """A sentence, and where in it which kind of personal data stands; of kind NOTHING, a number or a word that is none.

    `people`: start and end of the names of people beside it.
    """

    text: str
    start: int
    end: int
    kind: str
    people: tuple[tuple[int, int], ...] = ()


def labelled(count: int, seed: int) -> Iterator[Labelled]:
    """Yield `count` sentences of each kind, and of NOTHING, the forms of a kind in turns."""
    for kind in (*KINDS, NOTHING):
        draw = random.Random(f"{seed} {kind}")
        for sentence, value in islice(cycle(FORMS[kind]), count):
            who, town, goods = draw.choice(WOMEN + MEN), draw.choice(TOWNS), draw.choice(PRODUCTS)
            before, after = (part.format(who=who, town=town, goods=goods) for part in sentence.split("{value}"))
            said = value(draw)
            start, end, named = len(before), len(before + said), "{who}" in sentence
            text = before + said + after
            people = ((match.start(), match.end()) for match in re.finditer(rf"\b{who}\b", text) if not start <= match.start() < end)
            yield Labelled(text, start, end, kind, tuple(people) if named else ())


def _some(draw: random.Random, letters: str, count: int) -> str:
    return "".join(draw.choices(letters, k=count))


def _written(form: str) -> Draw:
    """Return a function that draws texts like `form`: # is a digit, ^ a capital, ~ a small letter and * any of them."""
    chosen = {"#": string.digits, "^": CAPITALS, "~": LETTERS, "*": LETTERS + CAPITALS + string.digits}
    return lambda draw: "".join(draw.choice(chosen[sign]) if sign in chosen else sign for sign in form)


def _checked(module: str, form: str, *, valid: bool = True, start: str = "") -> Draw:
    """Return a function that draws texts like `form` after `start`, with valid check digits or with invalid ones."""
    written = _written(form)

    def drawn(draw: random.Random) -> str:
        is_valid = load_validator(module)
        while True:
            found = start + written(draw)
            # The check of cards knows digits alone; the others drop what separates them.
            if is_valid(re.sub("[ -]", "", found) if module == "luhn" else found) is valid:
                return found

    return drawn


def _iban(country: str, form: str, *, grouped: bool = False, valid: bool = True) -> Draw:
    inner = _written(form)

    def drawn(draw: random.Random) -> str:
        from stdnum.iban import calc_check_digits

        account = inner(draw)
        checks = calc_check_digits(f"{country}00{account}")
        whole = country + (checks if valid else f"{(int(checks) + 1) % 97 + 2:02}") + account
        return " ".join(whole[at : at + 4] for at in range(0, len(whole), 4)) if grouped else whole

    return drawn


def _public(draw: random.Random) -> str:
    while True:
        address = ip_address(draw.getrandbits(32))
        if address.is_global and not address.is_multicast and max(address.packed) > 9:
            return str(address)


def _public6(draw: random.Random) -> str:
    return str(ip_address((0x2A01 << 112) | draw.getrandbits(104)))


def _phone(region: str, *, at_home: bool = False) -> Draw:
    def drawn(draw: random.Random) -> str:
        import phonenumbers

        written = phonenumbers.PhoneNumberFormat.NATIONAL if at_home else phonenumbers.PhoneNumberFormat.INTERNATIONAL
        known = phonenumbers.example_number(region)
        if known is None:
            raise ValueError(f"{region} is no region that phonenumbers knows")
        example = str(known.national_number)
        while True:
            number = phonenumbers.parse(example[:-4] + _some(draw, string.digits, 4), region)
            if phonenumbers.is_valid_number(number):
                return str(phonenumbers.format_number(number, written))

    return drawn


def _address(form: str) -> Draw:
    """Return a function that draws e-mail addresses; `form` has places for who, where and a number."""
    return lambda draw: form.format(who=draw.choice(WOMEN + MEN).lower(), where=draw.choice(TOWNS).lower(), number=draw.randrange(100))


def _person(draw: random.Random) -> str:
    return draw.choice(WOMEN + MEN)


FORMS: dict[str, tuple[tuple[str, Draw], ...]] = {
    "secret": (
        ("The key of the clock in {town} was {value}, and {who} kept it.", _written("AKIA" + "^" * 16)),
        ("{who} wrote {value} on the door of the mill.", _written("ghp_" + "*" * 36)),
        ("In the note stood token={value} and nothing about {goods}.", _written("eyJ" + "*" * 20 + ".eyJ" + "*" * 30 + "." + "*" * 43)),
        ("password: {value}, said the note from {town}.", _written("~~~~#~~^")),
    ),
    "email": (
        ("Write to {value} before the fair in {town}.", _address("{who}.{where}@post.example.org")),
        ("{who} answers letters ({value}) in a week.", _address("{who}{number}@{where}.co.uk")),
        ("Orders of {goods} go to {value}, as always.", _address("{who} [at] {where} [dot] org")),
        ("Ask {value}; she knows the price.", _address("{who} at {where} dot com")),
        ("Ask {value}; he knows the road to {town}.", _address("{who} (at) {where}.net")),
    ),
    "iban": (
        ("{who} paid forty crowns for {goods} to {value}.", _iban("DE", "#" * 18)),
        ("{who} paid forty crowns for {goods} to {value} in spring.", _iban("GB", "^^^^" + "#" * 14, grouped=True)),
        ("The rent of {town} goes to {value}.", _iban("NL", "^^^^" + "#" * 10, grouped=True)),
    ),
    "card": (
        ("The card {value} was left at the inn of {town}.", _checked("luhn", "### #### #### ####", start="4")),
        ("{who} read {value} from the card.", _checked("luhn", "#" * 14, start="51")),
        ("Charge it to {value}, wrote {who}.", _checked("luhn", "##-####-####-####", start="55")),
        ("{who} laid the card {value} on the {goods}.", _checked("luhn", "#-######-#####", start="378")),
    ),
    "identity": (
        ("{who}, DNI {value}, signed the book in {town}.", _checked("es.dni", "########^")),
        ("The social security number of {who} is {value}.", _checked("us.ssn", "###-##-####")),
        ("On the form from {town} stood NHS number {value}.", _checked("gb.nhs", "### ### ####")),
        ("{who} gave the PESEL {value} and took the {goods}.", _checked("pl.pesel", "#" * 11)),
        ("CPF {value} belongs to {who}.", _checked("br.cpf", "###.###.###-##")),
        ("{who} of {town} has the BSN {value}.", _checked("nl.bsn", "#########")),
    ),
    "ip": (
        ("The server of {town} answers at {value}.", _public),
        ("{who} wrote {value} into the list of guests.", _public),
        ("The clock of {town} is found at {value} at night.", _public6),
    ),
    "phone": (
        ("Ring {value} and ask for {who}.", _phone("GB")),
        ("{who} in {town}: {value}.", _phone("DE")),
        ("The shop for {goods} ({value}) opens at nine.", _phone("US")),
        ("Call {who} on {value} after dark.", _phone("FR", at_home=True)),
        ("The phone number of {who} is {value}.", _phone("GB", at_home=True)),
    ),
    "name": (
        ("{value} sold {goods} on the market of {town}.", _person),
        ("The miller of {town} is called {value}.", _person),
        ("At noon {value} met {who} by the river.", _person),
        ("Dear {value}, the {goods} came yesterday.", _person),
    ),
    NOTHING: (
        ("{who} ruled over {town} from {value}.", _written("18##-19##")),
        ("The almanac is at version {value} now.", _written("#.##.#.#")),
        ("See section {value} of the law.", _written("1#.1#.3#.#")),
        ("The lock of the chest is set to {value}.", _written("2#.3#.4#.5#")),
        ("The clock calls itself {value} at home.", _written("192.168.#.##")),
        ("The book, ISBN {value}, tells of {goods}.", _checked("isbn", "#-###-#####-#", start="978-")),
        ("{who} counted {value} pieces of {goods}.", _written("#,###,###")),
        ("It stands on pages {value} of the register.", _written("1##-2##")),
        ("The number {value} was on no card.", _checked("luhn", "### #### #### ####", valid=False, start="4")),
        ("The account {value} does not exist.", _iban("DE", "#" * 18, valid=False)),
        ("{value} is nobody's DNI in {town}.", _checked("es.dni", "########^", valid=False)),
        ("{who} sold {goods} {value} and went home.", _written("@ #.##")),
        ("Meet {who} {value} of noon in {town}.", _written("at the dot")),
        ("The train left at {value} by the clock.", _written("1#:2#:3#")),
        ("The seal of the parcel read {value}.", lambda draw: _some(draw, "0123456789abcdef", 32)),
    ),
}  # fmt: skip


FILE = "personal_data.json"
PARTLY = "partly"
SENTENCES, SEED = 60, 1
Matrix = dict[str, dict[str, int]]


def confusion(config: PiiConfig, sentences: Iterable[Labelled], names: Finder | None = None) -> Matrix:
    """Return {what stands there: {what is found there: sentences}}, of the kinds that `config` looks for, and of nothing.

    A value counts for a kind only if it is found from end to end, and otherwise as partly found. What is found beside the value counts in
    the row of nothing, unless it is the name of a person who stands there. `names` finds names, where `config` looks for them.
    """
    searched = enabled_kinds(config, names)
    counts = defaultdict[str, Counter[str]](Counter)
    for one in sentences:
        if one.kind != NOTHING and config.action(one.kind) == "off":
            continue
        row = counts[one.kind]
        found = find_all(one.text, config, searched)
        at = [mark for mark in found if mark.start < one.end and one.start < mark.end]
        whole = [mark.kind for mark in at if mark.start <= one.start and one.end <= mark.end]
        if one.kind == NOTHING:
            row.update([mark.kind for mark in at] or [NOTHING])
        else:
            row[whole[0] if whole else PARTLY if at else NOTHING] += 1
        beside = (mark for mark in found if mark not in at and not (mark.kind == "name" and (mark.start, mark.end) in one.people))
        counts[NOTHING].update(mark.kind for mark in beside)
    columns = (*(kind for kind in KINDS if config.action(kind) != "off"), PARTLY, NOTHING)
    return {kind: {found: counts[kind][found] for found in columns} for kind in (*KINDS, NOTHING) if kind in counts}


def write_confusion(output: Path, config: PiiConfig, files: ObservedFiles) -> None:
    """Write personal_data.json into a stage's output: the matrix of `SENTENCES` sentences of each kind."""
    matrix = confusion(config, labelled(SENTENCES, SEED), load_names(config, files))
    (output / FILE).write_text(json.dumps(matrix, indent=1) + "\n", encoding="utf-8")

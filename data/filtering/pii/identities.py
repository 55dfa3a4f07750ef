"""National identity numbers that python-stdnum can validate by check digits, and how each is written.

The list: Brazil's CPF, Germany's IdNr, Spain's DNI and NIE, France's NIR, Britain's NHS number, Italy's codice fiscale, the Dutch BSN,
Poland's PESEL, Sweden's personnummer, the American SSN. A number with a shape of its own (letters, fixed punctuation, 15 digits) counts
wherever its check digits are valid. One that is only a run of digits, of which one in eleven would pass a check by chance, counts only next
to a word that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

BEFORE, AFTER = 60, 20  # characters around a number searched for one of its words


@dataclass(frozen=True)
class National:
    """A national number: its stdnum module, its pattern, and the words of which one must be nearby (None: none needed)."""

    module: str
    pattern: re.Pattern[str]
    words: re.Pattern[str] | None = None


def _number(module: str, pattern: str, words: str = "") -> National:
    delimited = rf"(?<![\w@])(?<!\d[.,/-]){pattern}(?!\w)(?![.,/-]\d)"
    return National(module, re.compile(delimited, re.ASCII), re.compile(rf"(?:{words})", re.IGNORECASE) if words else None)


NATIONAL: dict[str, tuple[National, ...]] = {
    "br_cpf": (
        _number("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
        _number("br.cpf", r"\d{11}", r"\bCPF\b"),
    ),
    "de_idnr": (_number("de.idnr", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", r"\bIdNr\b|\bSteuer-?ID|identifikationsnummer|\bTIN\b"),),
    "es_dni": (_number("es.dni", r"\d{8}-?[A-HJ-NP-TV-Z]"),),
    "es_nie": (_number("es.nie", r"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]"),),
    "fr_nir": (_number("fr.nir", r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}"),),
    "gb_nhs": (_number("gb.nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", r"\bNHS\b"),),
    "it_codicefiscale": (_number("it.codicefiscale", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]"),),
    "nl_bsn": (_number("nl.bsn", r"\d{4}\.?\d{2}\.?\d{3}", r"\bBSN\b|burgerservice|sofinummer|sofi-nummer"),),
    "pl_pesel": (_number("pl.pesel", r"\d{11}", r"\bPESEL\b"),),
    "se_personnummer": (
        _number("se.personnummer", r"(?:18|19|20)?\d{6}[-+]\d{4}"),
        _number("se.personnummer", r"(?:18|19|20)?\d{10}", r"personnummer|personnr|\bpnr\b"),
    ),
    "us_ssn": (
        _number("us.ssn", r"\d{3}-\d{2}-\d{4}"),
        _number("us.ssn", r"\d{3} ?\d{2} ?\d{4}", r"\bSSN\b|social security"),
    ),
}


def has_nearby(text: str, start: int, end: int, words: re.Pattern[str] | None) -> bool:
    """Whether one of `words` occurs shortly before or after a position; true if there are no words."""
    return words is None or words.search(text, max(0, start - BEFORE), end + AFTER) is not None


def load_validator(module: str) -> Callable[[str], bool]:
    """Return stdnum's validation function of a module."""
    valid: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid
    return valid

"""Identifiers that redaction finds by shape and check digits: keys, tokens and private keys; national identity numbers.

Finds keys and tokens by their shapes: the rules of detect-secrets for the services whose keys have one, private keys and web tokens.
Rules that guess by randomness or by a word such as password are left out: in prose they are wrong more often than right.

National identity numbers that python-stdnum can validate by check digits, and how each is written.

The list: Brazil's CPF, Germany's IdNr, Spain's DNI and NIE, France's NIR, Britain's NHS number, Italy's codice fiscale, the Dutch BSN,
Poland's PESEL, Sweden's personnummer, the American SSN. A number with a shape of its own (letters, fixed punctuation, 15 digits) counts
wherever its check digits are valid. One that is only a run of digits, of which one in eleven would pass a check by chance, counts only next
to a word that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
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


LEAST = 20  # characters of the shortest key of any service
PLUGINS = {
    "aws": "AWSKeyDetector", "azure_storage_key": "AzureStorageKeyDetector", "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector", "gitlab_token": "GitLabTokenDetector", "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector", "openai": "OpenAIDetector", "pypi_token": "PypiTokenDetector", "sendgrid": "SendGridDetector",
    "slack": "SlackDetector", "square_oauth": "SquareOAuthDetector", "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector", "twilio": "TwilioKeyDetector",
}  # fmt: skip
PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----.{20,20000}?-----END \1-----", re.DOTALL)
WEB_TOKEN = re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", re.ASCII)
OWN = (PRIVATE_KEY, WEB_TOKEN)
HINT = "[A-Za-z0-9+/=_.:-]{20}|PRIVATE KEY|npm_"  # an RE2 pattern that matches every text with a key in it


def find_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of every key, in no order; two rules may find the same."""
    for pattern in OWN:
        yield from (match.span() for match in pattern.finditer(text))
    for pattern in _patterns():
        for match in pattern.finditer(text):
            # Some rules match the words around a key too, and group the key.
            groups = [number for number in range(1, (pattern.groups or 0) + 1) if len(match[number] or "") >= LEAST]
            start, end = match.span(groups[0]) if groups else match.span()
            if end - start >= LEAST and not _continues(text, start, end):
                yield start, end


def _continues(text: str, start: int, end: int) -> bool:
    """Return whether a match is a part of a longer word."""
    return (start > 0 and text[start - 1].isalnum()) or (end < len(text) and text[end].isalnum())


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    detectors = (getattr(import_module(f"detect_secrets.plugins.{module}"), name) for module, name in PLUGINS.items())
    return tuple(pattern for detector in detectors for pattern in detector.denylist)

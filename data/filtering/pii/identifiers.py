"""Identifiers that redaction finds by shape and check digits: keys, tokens and private keys; national identity numbers.

Finds keys and tokens by their shapes: the rules of detect-secrets for the services whose keys have one, private keys and web tokens.
Rules that guess by randomness or by a word such as password are left out: in prose they are wrong more often than right.

National identity numbers that python-stdnum can validate by check digits, and how each is written.

The list: Brazil's CPF, Germany's IdNr, Spain's DNI and NIE, France's NIR, Britain's NHS and National Insurance
numbers, Italy's codice fiscale, the Dutch BSN,
Poland's PESEL, Sweden's personnummer, the American SSN. A number with a shape of its own (letters, fixed punctuation, 15 digits) counts
wherever its check digits are valid. One that is only a run of digits, of which one in eleven would pass a check by chance, counts only next
to a word that names it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module

BEFORE, AFTER = 60, 20  # characters around a number searched for one of its words


@dataclass(frozen=True)
class National:
    """A national number: its stdnum module (empty: it has no check digits), its pattern, and the words of which one must be nearby.

    words: None: none needed.
    """

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
    "gb_nino": (_number("", r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"),),
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
    """Return stdnum's validation function of a module; without one, what takes every number of the right shape."""
    if not module:
        return lambda _: True
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
PRIVATE_KEY = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----")
SHORTEST_KEY, LONGEST_KEY = 20, 20_000  # characters between the two lines of a private key
WEB_TOKEN = re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", re.ASCII)
# Keys of hubs and clouds that begin with a name of their own, as their documentation and secret scanners list them.
PREFIXED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"hf_[A-Za-z0-9]{30,}|AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{28}|github_pat_\w{22,255}|gh[oprsu]_[A-Za-z0-9]{36,}"
    r"|sk-(?:ant|proj|svcacct|or|lf)-[\w-]{20,}|gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{40,}|pplx-[A-Za-z0-9]{40,}|r8_[A-Za-z0-9]{30,}"
    r"|A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}|do[opr]_v1_[a-f0-9]{64}|dapi[a-f0-9]{32}|gl(?:pat|dt|rt|cbt|ptt|soat)-[\w.-]{20,}"
    r"|hv[sbr]\.[\w-]{24,}|gl(?:c|sa)_[\w+/=]{32,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|lin_api_[A-Za-z0-9]{40}|ntn_[A-Za-z0-9]{40,}"
    r"|dp\.(?:pt|st|ct|sa)\.[\w.-]{40,}|pscale_(?:tkn|pw|oauth)_[\w=.-]{32,}|sbp_[a-f0-9]{40}|PMAK-[a-f0-9]{24}-[a-f0-9]{34}"
    r"|NRAK-[A-Z0-9]{27}|sntry[su]_[\w+/=.-]{30,}|dckr_(?:pat|oat)_[\w-]{27,}|AGE-SECRET-KEY-1[A-Z0-9]{58}|xapp-\d-[A-Z0-9]+-\d+-[a-z0-9]+"
    r"|[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}|rk_(?:live|test)_[A-Za-z0-9]{24,}|whsec_[A-Za-z0-9+/=]{32,}"
    r")(?![A-Za-z0-9])",
    re.ASCII,
)
OWN = (WEB_TOKEN, PREFIXED)
HINT = "[A-Za-z0-9+/=_.:-]{20}|PRIVATE KEY|npm_"
"""An RE2 pattern that matches every text with a key in it."""


def find_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of every key, in no order; two rules may find the same."""
    yield from _private_keys(text)
    for pattern in OWN:
        yield from (match.span() for match in pattern.finditer(text))
    for pattern in _patterns():
        for match in pattern.finditer(text):
            # Some rules match the words around a key too, and group the key.
            groups = [number for number in range(1, (pattern.groups or 0) + 1) if len(match[number] or "") >= LEAST]
            start, end = match.span(groups[0]) if groups else match.span()
            if end - start >= LEAST and not _continues(text, start, end):
                yield start, end


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    """Yield private keys, each from the first beginning that its end can belong to. Reads the text once, however many begin."""
    begun: dict[str, deque[re.Match[str]]] = {}
    for mark in PRIVATE_KEY.finditer(text):
        waiting = begun.setdefault(mark[2], deque())
        if mark[1] == "BEGIN":
            waiting.append(mark)
            continue
        while waiting and mark.start() - waiting[0].end() > LONGEST_KEY:
            waiting.popleft()
        if waiting and mark.start() - waiting[0].end() >= SHORTEST_KEY:
            yield waiting[0].start(), mark.end()
            waiting.clear()


def _continues(text: str, start: int, end: int) -> bool:
    """Return whether a match is a part of a longer word."""
    return (start > 0 and text[start - 1].isalnum()) or (end < len(text) and text[end].isalnum())


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    detectors = (getattr(import_module(f"detect_secrets.plugins.{module}"), name) for module, name in PLUGINS.items())
    return tuple(pattern for detector in detectors for pattern in detector.denylist)

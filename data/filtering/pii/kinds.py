"""Finds each kind of personal data: SQL selects the documents that may contain it, Python finds and validates it in these.

The RE2 pattern `hint` matches everything that `find` finds (a test checks it). Validation by kind:
- secret: `secrets`.
- e-mail: the grammar of addresses as they are used (RFC 5321, ASCII); and spelled out, with brackets around at or dot, or both as words
  before a common top-level domain.
- iban: length by country and ISO 7064 check digits (stdnum).
- card: 13 to 19 digits of a known issuer (ISO/IEC 7812), the Luhn check, in one run or grouped as printed on cards.
- identity: `identities`.
- ip: routable addresses (RFC 6890, Python's ipaddress), not private or documentation ones. After a word such as version or section, four
  numbers are a numbering and not an address, and so are four numbers below ten unless a word such as IP or server is nearby.
- name: what a model takes for one (`names`).
- phone: numbers with a plus sign that Google's libphonenumber (phonenumbers) accepts; in `regions` also without one, if written exactly in
  the national format or near a word for telephones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from data.filtering.config import PiiConfig
from data.filtering.pii.identifiers import HINT as SECRET_HINT
from data.filtering.pii.identifiers import NATIONAL, find_secrets, has_nearby, load_validator

Span = tuple[int, int]
TAGS = {
    "secret": "SECRET",
    "email": "EMAIL",
    "iban": "IBAN",
    "card": "CARD",
    "identity": "ID",
    "ip": "IP",
    "phone": "PHONE",
    "name": "NAME",
}
Finder = Callable[[str, PiiConfig], Iterable[Span]]
# Latin, Greek and Cyrillic letters: scripts that set spaces between words, so an address does not run into its neighbours.
LETTER = "A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u04ff"
EMAIL = re.compile(
    rf"(?<![{LETTER}_%+-])[{LETTER}_%+-](?:[{LETTER}._%+'-]{{0,62}}[{LETTER}_%+-])?"
    rf"@(?:[{LETTER}](?:[{LETTER}-]{{0,61}}[{LETTER}])?\.){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[{LETTER}]{{2,24}})(?![{LETTER}-])"
)
BRACKETED_AT, BRACKETED_DOT = r"\s?[\[({<]\s?at\s?[\])}>]\s?", r"\s?[\[({<]\s?dot\s?[\])}>]\s?"
DOMAINS = "com|org|net|edu|gov|info|io|co|us|uk|de|fr|it|es|nl|ch|at|be|pl|se|no|dk|fi|eu|ca|au|in|br|jp|ru"
SPELLED = re.compile(
    rf"(?<![\w.%+-])[a-z0-9][a-z0-9._%+-]{{0,62}}(?:"
    rf"{BRACKETED_AT}(?:[a-z0-9][a-z0-9-]{{0,61}}(?:{BRACKETED_DOT}|\sdot\s|\.)){{1,4}}[a-z]{{2,24}}"
    rf"|(?:@|\sat\s)[a-z0-9][a-z0-9-]{{0,61}}(?:(?:{BRACKETED_DOT}|\sdot\s)[a-z0-9][a-z0-9-]{{0,61}}){{0,3}}(?:{BRACKETED_DOT}|\sdot\s)(?:{DOMAINS})"
    r")(?![\w-])",
    re.IGNORECASE | re.ASCII,
)
IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)(?![A-Za-z0-9])", re.ASCII | re.IGNORECASE
)
CARD = re.compile(
    r"(?<![\w])(?<!\d[.,-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5}|\d{13,19})(?!\w)(?![.,-]\d)", re.ASCII
)
ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|62\d{14,17}|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{9,15}",
    re.ASCII,
)
IP4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w)(?!\.\d)", re.ASCII)
IP6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", re.ASCII)
NUMBERING = re.compile(
    r"(?:\b(?:version|ver\.?|v\.?|release|build|firmware|section|sect?\.|chapter|article|clause|rule|part|no\.?)|§)\s*$", re.IGNORECASE
)
NETWORK = re.compile(r"\bIPs?\b|\bIPv4\b|address|server|\bhosts?\b|\bDNS\b|\bping|gateway|router|proxy|network", re.IGNORECASE)
PLUS = re.compile(r"(?<![\w+])\+[1-9](?:[ .\-/()]{0,2}\d){6,14}(?!\w)", re.ASCII)
NATIONAL_PHONE = re.compile(r"(?<![\w+,.])(?<!\d[-/ ])\(?\d(?:[ .\-/()]{0,2}\d){6,13}(?!\w)(?![.,/-]\d)", re.ASCII)
TELEPHONE = re.compile(
    r"\b(?:tele)?phone|\btel\b|\btél|\btelef|\bmobile\b|\bcell\b|\bfax\b|\bcall\b|\bwhats ?app|\bcontact|\bhotline|☎",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Kind:
    """A kind of personal data: its name in recipes and ledgers, a pattern that every text with any must match.

    `find` yields start and end of every occurrence, in order, without overlaps."""

    name: str
    hint: str
    find: Finder

    @property
    def tag(self) -> str:
        """Its name in tags."""
        return TAGS[self.name]


def _scan(pattern: re.Pattern[str], text: str) -> Iterator[tuple[re.Match[str], list[int]]]:
    """Yield every candidate with an empty list; append the end of its valid part, or the search continues one character further."""
    at = 0
    while (match := pattern.search(text, at)) is not None:
        end: list[int] = []
        yield match, end
        at = end[0] if end else match.start() + 1


def _emails(text: str, config: PiiConfig) -> Iterator[Span]:
    yield from _without_overlaps({match.span() for pattern in (EMAIL, SPELLED) for match in pattern.finditer(text)})


def _secrets(text: str, config: PiiConfig) -> Iterator[Span]:
    yield from _without_overlaps(set(find_secrets(text)))


def _ibans(text: str, config: PiiConfig) -> Iterator[Span]:
    valid = load_validator("iban")
    for match, end in _scan(IBAN, text):
        words = match.group()
        while words:
            if valid(words):
                end.append(match.start() + len(words))
                yield match.start(), end[0]
                break
            words = words.rpartition(" ")[0]


def _cards(text: str, config: PiiConfig) -> Iterator[Span]:
    valid = load_validator("luhn")
    for match, end in _scan(CARD, text):
        digits = re.sub("[ -]", "", match.group())
        if ISSUERS.fullmatch(digits) and valid(digits):
            end.append(match.end())
            yield match.span()


def _identities(text: str, config: PiiConfig) -> Iterator[Span]:
    found: set[Span] = set()
    for name in config.identities:
        for number in NATIONAL[name]:
            # Searching for the required word is cheaper than searching for numbers.
            if number.words is not None and number.words.search(text) is None:
                continue
            valid = load_validator(number.module)
            for match, end in _scan(number.pattern, text):
                if has_nearby(text, *match.span(), number.words) and valid(match.group()):
                    end.append(match.end())
                    found.add(match.span())
    yield from _without_overlaps(found)


def _addresses(text: str, config: PiiConfig) -> Iterator[Span]:
    found: set[Span] = set()
    for match in (*IP4.finditer(text), *IP6.finditer(text)):
        try:
            address = ip_address(match.group())
        except ValueError:
            continue
        public = address.is_global and not address.is_multicast
        if address.version == 6:
            # The space allocated to networks (RFC 4291); matches outside it are times and code.
            public = public and address.packed[0] >> 5 == 1
        else:
            addressed = max(address.packed) > 9 or has_nearby(text, *match.span(), NETWORK)
            public = public and addressed and not NUMBERING.search(text, max(0, match.start() - 12), match.start())
        if public:
            found.add(match.span())
    yield from _without_overlaps(found)


def _phones(text: str, config: PiiConfig) -> Iterator[Span]:
    import phonenumbers

    found: set[Span] = set()
    for match, end in _scan(PLUS, text):
        if size := _valid_length(phonenumbers, match.group(), None):
            end.append(match.start() + size)
            found.add((match.start(), end[0]))
    for region in config.regions:
        for match, end in _scan(NATIONAL_PHONE, text):
            if _is_national(phonenumbers, text, match, region):
                end.append(match.end())
                found.add(match.span())
    yield from _without_overlaps(found)


def _valid_length(phonenumbers: Any, written: str, region: str | None) -> int:
    """Return how many characters at the beginning of `written` are a valid number, dropping groups of digits from its end."""
    while len(written) > 6:
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            return 0
        if phonenumbers.is_valid_number(number):
            return len(written)
        written = re.sub(r"[ .\-/()]+\d+$", "", written) if re.search(r"[ .\-/()]\d+$", written) else ""
    return 0


def _is_national(phonenumbers: Any, text: str, match: re.Match[str], region: str) -> bool:
    written = match.group()
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return False
    if not phonenumbers.is_valid_number_for_region(number, region):
        return False
    as_usual = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    dashed = {written.replace(sign, "-") for sign in ".-"} if re.fullmatch(r"\d{3}([.-])\d{3}\1\d{4}", written) else set()
    usual = {as_usual, re.sub(r"\((\d+)\) ", r"\1-", as_usual)} if region in ("US", "CA") else {as_usual}
    grouped = " " in as_usual or "-" in as_usual
    return (grouped and (written in usual or bool(dashed & usual))) or has_nearby(text, *match.span(), TELEPHONE)


def _without_overlaps(found: set[Span]) -> Iterator[Span]:
    """Yield the spans in order; of overlapping ones, the first and longest."""
    last = 0
    for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
        if start >= last:
            yield start, end
            last = end


def enabled_kinds(config: PiiConfig, names: Finder | None = None) -> tuple[Kind, ...]:
    """Return the enabled kinds in search order: text found as one kind isn't searched for the next. `names` finds names of people.

    Raise ValueError if names are looked for without it.
    """
    phone = r"\+[1-9][ .\-/()0-9]{6}" + (r"|[0-9][ .\-/()]{0,2}[0-9][ .\-/()0-9]{5}" if config.regions else "")
    spelled = r"[\[({<]\s?[aA][tT]\s?[\])}>]|\s[aA][tT]\s[A-Za-z0-9-]+\s?[\[({<\s]\s?[dD][oO][tT][\])}>\s]"
    every = [
        Kind("secret", SECRET_HINT, _secrets),
        Kind("email", rf"@[{LETTER}]|{spelled}", _emails),
        Kind("iban", r"[A-Za-z]{2}[0-9]{2} ?[A-Za-z0-9]{4}", _ibans),
        Kind("card", r"[0-9]{13}|[0-9]{4}[ -][0-9]{4}[ -][0-9]{4}|[0-9]{4}[ -][0-9]{6}[ -]", _cards),
        Kind("identity", r"[0-9](?:[ .+-]?[0-9]){6}|[A-Z]{6}[0-9]{2}[A-Z]|[A-Z]{2} ?[0-9]{2} ?[0-9]{2}", _identities),
        Kind("ip", r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:", _addresses),
        Kind("phone", phone, _phones),
    ]
    if config.name != "off":
        if names is None:
            raise ValueError(f"pii.name={config.name}, but {config.name_model} is not loaded")
        every.append(Kind("name", r"\pL", names))
    return tuple(kind for kind in every if config.action(kind.name) != "off")

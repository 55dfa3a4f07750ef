"""Personal data: what is found, what is not, and the properties of redaction."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.filtering.config import KINDS, PiiConfig
from data.filtering.pii.identifiers import find_secrets
from data.filtering.pii.kinds import enabled_kinds
from data.filtering.pii.redact import find_all, redact
from tests.data.filtering.filter_runner import run

EVERYWHERE = PiiConfig(enabled=True, regions=("US", "GB", "FR", "NL"))
AT_HOME = PiiConfig(enabled=True)

FOUND = [
    ("email", "Write to jane.o'brien+books@mail.example.co.uk.", "Write to <EMAIL>."),
    ("email", "(MILLER_1@river.org)", "(<EMAIL>)"),
    ("email", "ann [at] mill [dot] org, bob(at)mill.example.com", "<EMAIL>, <EMAIL>"),
    ("email", "Write to Ann.Lee at mill dot co dot uk today", "Write to <EMAIL> today"),
    ("secret", f"key {'AKIA' + 'IOSFODNN7EXAMPLE'} and {'ghp_' + 'a1B2' * 9}.", "key <SECRET> and <SECRET>."),
    ("secret", f"aws_secret_access_key = '{'wJalrXUtnFEMI/K7MDENG/bPxRfiCY' + 'EXAMPLEKEY'}'", "aws_secret_access_key = '<SECRET>'"),
    ("secret", f"{'eyJhbGciOiJIUzI1NiJ9'}.{'eyJzdWIiOiIxMjM0In0xx'}.{'dozjgNryP4J3jVmN'}, {'sk_live_' + 'a1' * 12}", "<SECRET>, <SECRET>"),
    ("secret", f"-----BEGIN RSA {'PRIVATE'} KEY-----\nMIIEowIBAAKCAQEAx\nabc=\n-----END RSA {'PRIVATE'} KEY-----\nEnd", "<SECRET>\nEnd"),
    ("iban", "Pay GB82 WEST 1234 5698 7654 32 TODAY", "Pay <IBAN> TODAY"),
    ("iban", "to DE89370400440532013000.", "to <IBAN>."),
    ("card", "In 2023 4111 1111 1111 1111 was used", "In 2023 <CARD> was used"),
    ("card", "amex 3782-822463-10005, visa 4012888888881881", "amex <CARD>, visa <CARD>"),
    ("identity", "ssn 536-22-1234 and DNI 54362315K, NIE X-5253868-R", "ssn <ID> and DNI <ID>, NIE <ID>"),
    ("identity", "NHS number 943 476 5870", "NHS number <ID>"),
    ("identity", "BSN: 111222333", "BSN: <ID>"),
    ("identity", "NIR 2 95 10 99 126 111 93, codice RCCMNL83S18D969H", "NIR <ID>, codice <ID>"),
    ("identity", "CPF 390.533.447-05, PESEL 44051401359", "CPF <ID>, PESEL <ID>"),
    ("identity", "personnummer 880320-0016", "personnummer <ID>"),
    ("ip", "from 93.184.216.34:80 and 2606:4700:4700::1111", "from <IP>:80 and <IP>"),
    ("ip", "ask the DNS server 8.8.8.8", "ask the DNS server <IP>"),
    ("iban", "to de89370400440532013000 or gb82 west 1234 5698 7654 32", "to <IBAN> or <IBAN>"),
    ("email", "anna@b\u00fccher.example, \u0438\u0432\u0430\u043d@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444", "<EMAIL>, <EMAIL>"),
    ("email", "an bo@xn--bcher-kva.xn--p1ai.", "an <EMAIL>."),
    ("identity", "NINO AB 12 34 56 C, or QQ123456A and JG103759B", "NINO <ID>, or QQ123456A and <ID>"),
    ("secret", f"{'hf_' + 'aB3' * 12}, {'sk-' + 'ant-' + 'api03-' + 'aB3_' * 9}", "<SECRET>, <SECRET>"),
    ("secret", f"{'AIza' + 'Sy0' * 11 + 'ab'} {'dapi' + '0a' * 16} {'hvs.' + 'CAES' * 8}", "<SECRET> <SECRET> <SECRET>"),
    ("phone", "ring +44 20 7946 0958 or +1 (212) 736-5000.", "ring <PHONE> or <PHONE>."),
]  # fmt: skip
LEFT = [
    "The war of 1914-1918, the year 1066, and pages 123-456 of 7890.",
    "He had 1,234,567 sheep, 4111 of them black, and 123456789 grains of 111222333 kinds.",
    "Versions 1.2.3.4 and section 12.14.3.2, at 12:30:45 or 10.0.0.1, 192.168.1.20, 203.0.113.7 or 2001:db8::1.",
    "std::vector<int> and cafe::dead, f(a)::b",
    "Call me Ishmael. Psalm 119:105-112; I. ii. 3-14; MS. 4012888888881882",
    "at @home, a@b, 5 @ 3.00, mill@river",
    "Look at example.com, or meet me at mill dot, at nine. He stood at the dot of an i; at (at) last.",
    "An aforementionedantidisestablishmentarianism ----------------------------- and 0123456789abcdef0123456789abcdef.",
    "GB82 WEST 1234 5698 7654 33, DE00370400440532013000",
    "tel 020 7946 0958 in no region that was asked for",
    "943 476 5870 and 44051401359 and 390533447",
    "be12 this is what many of them said; the car AB123456E; sk-learn-contributors and hf_home.",
    "000-12-3456, 666-45-4320 and 536-22-12345",
]
NATIONAL = [
    ("Call (212) 736-5000 now", "Call <PHONE> now"),
    ("212-736-5000", "<PHONE>"),
    ("telephone: 0207 946 0958", "telephone: <PHONE>"),
    ("Tél. 01 42 68 53 00", "Tél. <PHONE>"),
    ("sold 2127365000 sheep", "sold 2127365000 sheep"),
    ("years 1914 1918 1939 1945", "years 1914 1918 1939 1945"),
]


@pytest.mark.parametrize(("kind", "text", "expected"), FOUND, ids=lambda value: str(value)[:20])
def test_personal_data_is_replaced_by_its_tag(kind: str, text: str, expected: str) -> None:
    after, rounds = redact(text, AT_HOME, enabled_kinds(AT_HOME))
    assert after == expected and {find.kind for find in rounds[0]} == {kind}


@pytest.mark.parametrize("text", LEFT)
def test_text_that_only_looks_like_personal_data_stays(text: str) -> None:
    assert redact(text, AT_HOME, enabled_kinds(AT_HOME)) == (text, [])


@pytest.mark.parametrize(("text", "expected"), NATIONAL)
def test_a_national_number_counts_in_its_format_or_near_a_word_for_telephones(text: str, expected: str) -> None:
    assert redact(text, EVERYWHERE, enabled_kinds(EVERYWHERE))[0] == expected


def test_private_keys_are_found_from_the_first_beginning_that_their_end_can_belong_to() -> None:
    begin, end = (f"-----{word} {'PRIVATE'} KEY-----" for word in ("BEGIN", "END"))
    body = "MIIEowIBAAKCAQEAx\nabcdefgh=\n"
    text = f"a {begin}\n{begin}\n{body}{end} b {end} c {begin} d"
    assert redact(text, AT_HOME, enabled_kinds(AT_HOME))[0] == f"a <SECRET> b {end} c {begin} d"
    far = f"{begin}{'x ' * 10_001}{begin}\n{body}{end}"
    assert redact(far, AT_HOME, enabled_kinds(AT_HOME))[0] == f"{begin}{'x ' * 10_001}<SECRET>"


def test_the_time_for_beginnings_of_private_keys_grows_with_the_text() -> None:
    def seconds(count: int) -> float:
        text = f"-----BEGIN {'PRIVATE'} KEY-----\n" * count
        began = time.process_time()
        assert not list(find_secrets(text))
        return time.process_time() - began

    seconds(100)
    assert seconds(16_000) < 12 * seconds(4_000) + 0.2


PARTS = (
    [text for _, text, _ in FOUND] + LEFT + [text for text, _ in NATIONAL] + ["<EMAIL>", "@", "+", " ", ".", "4", "NHS ", "ip ", "-", ":"]
)
TEXTS = st.lists(st.one_of(st.sampled_from(PARTS), st.text("019-+.: @aZ\n", max_size=12)), max_size=6).map("".join)


@settings(max_examples=150)
@given(TEXTS)
def test_redacting_twice_changes_nothing(text: str) -> None:
    once, _ = redact(text, EVERYWHERE, enabled_kinds(EVERYWHERE))
    assert redact(once, EVERYWHERE, enabled_kinds(EVERYWHERE)) == (once, [])


@settings(max_examples=150)
@given(TEXTS)
def test_the_hint_matches_whenever_something_is_found(text: str) -> None:
    for kind in enabled_kinds(EVERYWHERE):
        assert not list(kind.find(text, EVERYWHERE)) or re.search(kind.hint, text, re.ASCII)


@settings(max_examples=100)
@given(TEXTS)
def test_redactions_are_ordered_and_do_not_overlap(text: str) -> None:
    found = find_all(text, EVERYWHERE, enabled_kinds(EVERYWHERE))
    assert all(before.end <= after.start for before, after in pairwise(found))


def test_personal_data_is_written_nowhere(tmp_path: Path) -> None:
    texts = {"a": "Mail anna@mill.org.\nOr anna@mill.org, card 4111111111111111.", "b": "Nothing here."}
    done = run(tmp_path, texts, {"pii": {}})
    assert done.texts == {"a": "Mail <EMAIL>.\nOr <EMAIL>, card <CARD>.", "b": "Nothing here."}
    edits = [(row["round"], row["rule"], row["place"], row["before"], row["after"]) for row in done.table("edits")]
    assert edits == [
        (1, "pii email", 6, "e-mail, 13 characters", "<EMAIL>"),
        (1, "pii email", 24, "e-mail, 13 characters", "<EMAIL>"),
        (1, "pii card", 44, "payment card, 16 characters", "<CARD>"),
    ]
    changed = [(row["rule"], row["count"], row["characters"], row["net"]) for row in done.ledger if row["action"] == "changed"]
    assert changed == [("pii email", 2, 26, 12), ("pii card", 1, 16, 10)]
    assert done.metrics["redacted_email"] == 2 and done.metrics["redacted_card"] == 1
    written = b"".join(path.read_bytes() for path in done.output.rglob("*") if path.is_file())
    assert b"anna@" not in written and not any("anna@" in str(row) for name in ("documents", "edits", "ledger") for row in done.table(name))


def test_a_document_above_the_limit_is_removed_and_kept_redacted(tmp_path: Path) -> None:
    texts = {"a": "a@mill.org b@mill.org c@mill.org", "b": "a@mill.org b@mill.org"}
    done = run(tmp_path, texts, {"pii": {"email": "drop", "drop_above": 2}})
    assert done.texts == {"b": "<EMAIL> <EMAIL>"} and done.fates()["a"] == ("pii email", "email 3 > 2")
    assert [row["text"] for row in done.table("removed/pii_email")] == ["<EMAIL> <EMAIL> <EMAIL>"]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "name"])
def test_a_kind_that_is_off_is_ignored(kind: str, tmp_path: Path) -> None:
    text = next(text for name, text, _ in FOUND if name == kind)
    assert run(tmp_path, {"a": text}, {"pii": {kind: "off"}}).texts == {"a": text}


def test_the_tag_comes_from_the_recipe(tmp_path: Path) -> None:
    assert run(tmp_path, {"a": "to a@mill.org"}, {"pii": {"replacement": "|||{KIND}_ADDRESS|||"}}).texts == {"a": "to |||EMAIL_ADDRESS|||"}


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"regions": ["US"], "phone": "off"}, "pii.regions does nothing"),
        ({"identities": ["us_ssn"], "identity": "off"}, "pii.identities does nothing"),
        ({"drop_above": 3}, "pii.drop_above does nothing"),
        ({"name": "redact"}, "needs pii.name_model"),
        ({"name_model": "en_core_web_sm"}, "pii.name_model and pii.name_labels do nothing"),
        ({"name_labels": ["PERSON"]}, "pii.name_model and pii.name_labels do nothing"),
        ({"replacement": "<someone@{KIND}>"}, "replacement"),
        ({"identities": ["xx_id"]}, "identities"),
    ],
)
def test_a_key_that_would_do_nothing_or_undo_itself_is_refused(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        PiiConfig.model_validate({"enabled": True, **keys})

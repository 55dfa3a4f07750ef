"""Languages: detected offline, undetermined if the model is unsure, and kept or removed as asked."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from data.filtering.config import LanguageConfig
from data.filtering.language import known_languages, language_of, load_model, windows
from tests.data.filtering.filter_runner import run

TEXTS = {
    "de": "Der Fluss lief an der Mühle vorbei und unter der alten Brücke hindurch, wo im Sommer die Kinder des Dorfes fischten.",
    "en": "The river ran past the mill and under the old stone bridge, where the children of the village came in summer to fish.",
    "fr": "La rivière passait devant le moulin et sous le vieux pont de pierre, où les enfants du village venaient pêcher en été.",
    "la": "Gallia est omnis divisa in partes tres, quarum unam incolunt Belgae, aliam Aquitani, tertiam qui lingua Celtae appellantur.",
    "nl": "De rivier liep langs de molen en onder de oude stenen brug door, waar de kinderen van het dorp in de zomer kwamen vissen.",
    "und": "qwx zzkf 123 vbnm qqpl 88 jjkw 9 xcvb mmzq",
}


@pytest.fixture(scope="module")
def ask() -> Callable[[str], dict[str, float]]:
    return load_model()


def test_languages_are_detected_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*given: object, **named: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    done = run(tmp_path, TEXTS, {"language": {}})
    assert {name: known["language"] for name, known in done.metadata.items()} == {name: name for name in TEXTS}
    for known in done.metadata.values():
        assert 0 <= known["language_probability"] <= 1 and round(known["language_probability"], 4) == known["language_probability"]
    assert done.texts == TEXTS and done.metrics["language_en"] == 1 and done.metadata["en"]["path"] == "en.txt"


def test_documents_in_other_languages_are_removed_by_name(tmp_path: Path) -> None:
    done = run(tmp_path, TEXTS, {"language": {"keep": ["en", "und"]}})
    assert set(done.texts) == {"en", "und"} and done.metrics["removed_language"] == 4 and done.metrics["language_fr"] == 1
    rule, detail = done.fates()["fr"]
    assert rule == "language" and detail.startswith("language fr, probability ") and detail.endswith("is none of en, und")


def test_a_stated_language_takes_precedence_over_the_model(tmp_path: Path) -> None:
    stated = {"test/old/*": "sr", "*": "en"}
    done = run(tmp_path, {"a": TEXTS["und"], "b": TEXTS["fr"]}, {"language": {"stated": stated, "keep": ["sr"]}}, paths={"a": "old/1.txt"})
    assert done.metadata == {"a": {"path": "old/1.txt", "language": "sr", "language_probability": 1.0}}


def test_a_language_that_no_document_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"keep: 'xx' is a language that neither lid.176 nor `stated` knows"):
        run(tmp_path, TEXTS, {"language": {"keep": ["en", "xx"]}})
    assert len(known_languages()) == 176


def test_a_document_half_in_each_language_is_undetermined_and_a_quotation_changes_nothing(
    ask: Callable[[str], dict[str, float]],
) -> None:
    config = LanguageConfig()
    half = f"{TEXTS['en']} " * 20 + f"{TEXTS['fr']} " * 20 + f"{TEXTS['de']} " * 20
    assert language_of(ask, half, config)[0] == "und"
    assert language_of(ask, f"{TEXTS['en']} " * 20 + TEXTS["fr"] + f" {TEXTS['en']}" * 20, config)[0] == "en"
    assert language_of(ask, " \n\t", config) == ("und", 0.0)


@pytest.mark.parametrize(
    ("length", "size", "most", "count"), [(0, 400, 16, 0), (399, 400, 16, 1), (1300, 400, 16, 3), (90_000, 400, 16, 16)]
)
def test_windows_are_spread_through_the_text(length: int, size: int, most: int, count: int) -> None:
    text = "".join(chr(0x20000 + k) for k in range(length))
    found = windows(text, size, most)
    assert len(found) == count and all(len(window) == min(size, length) for window in found)
    starts = [text.index(window) for window in found]
    assert starts == sorted(starts)
    if count > 1:
        assert starts[0] < length / count and starts[-1] + size > length - length / count

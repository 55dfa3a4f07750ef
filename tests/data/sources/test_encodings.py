"""A text's encoding is detected from its bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sources.decode import NotText, decode
from tests.data.sources.reading import read_all, write

TEXTS = {
    "Russian": "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. Все смешалось в доме.\n",
    "Polish": "Litwo! Ojczyzno moja! ty jesteś jak zdrowie. Ile cię trzeba cenić, ten tylko się dowie, kto cię stracił, i był tam.\n",
    "Czech": "Když se Řehoř Samsa jednoho rána probudil z nepokojných snů, shledal, že se v posteli proměnil v jakýsi hmyz.\n",
    "Japanese": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で泣いていた。\n",
    "Chinese": "话说天下大势，分久必合，合久必分。周末七国分争，并入于秦。及秦灭之后，楚、汉分争，又并入于汉。\n",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 양심을 부여받았다.\n",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.\n",
    "German": "Als Gregor Samsa eines Morgens aus unruhigen Träumen erwachte, fand er sich in seinem Bett zu einem Käfer.\n",
    "French": "Longtemps, je me suis couché de bonne heure. Parfois, à peine ma bougie éteinte, mes yeux se fermaient si vite.\n",
    "Danish": "Der var en gang en prins, han ville have sig en prinsesse, men det skulle være på øen; både å og ø, også her.\n",
    "Spanish": "¿En un lugar de la Mancha, de cuyo nombre no quiero acordarme? ¡No ha mucho! Señor, señora, año, corazón, más.\n",
}
TEXTS |= {
    "Turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl sahiptirler; işte böyle başladı yolculuk.\n",
    "Lithuanian": "Visi žmonės gimsta laisvi ir lygūs savo orumu ir teisėmis. Jiems suteiktas protas; jie turi elgtis kaip broliai.\n",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם לנהוג ברוח של אחווה.\n",
    "Arabic": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم بعضا بروح الإخاء.\n",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกัน\n",
    "Hungarian": "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Az emberek ésszel bírván; őrült űrhajós.\n",
    "Ukrainian": "Всі люди народжуються вільними і рівними у своїй гідності та правах. Вони наділені розумом і совістю.\n",
    "Traditional": "話說天下大勢，分久必合，合久必分。周末七國分爭，併入於秦。及秦滅之後，楚、漢分爭，又併入於漢。\n",
}
OLDER = [
    ("Russian", "koi8-r"), ("Russian", "cp1251"), ("Russian", "iso8859-5"), ("Polish", "iso8859-2"), ("Polish", "cp1250"),
    ("Czech", "iso8859-2"), ("Czech", "cp1250"), ("Japanese", "shift_jis"), ("Japanese", "euc_jp"), ("Japanese", "iso2022_jp"),
    ("Chinese", "gb18030"), ("Korean", "euc_kr"), ("Greek", "iso8859-7"), ("German", "latin-1"), ("French", "cp1252"), ("Danish", "cp1252"),
    ("Spanish", "latin-1"), ("Turkish", "cp1254"), ("Lithuanian", "cp1257"), ("Hebrew", "cp1255"), ("Arabic", "cp1256"),
    ("Arabic", "iso8859-6"), ("Thai", "cp874"), ("Hungarian", "cp1250"), ("Hungarian", "iso8859-2"), ("Ukrainian", "koi8-u"),
    ("Russian", "cp866"), ("Russian", "mac_cyrillic"), ("Traditional", "big5"), ("Korean", "iso2022_kr"), ("Chinese", "hz"),
    ("Polish", "cp852"), ("German", "cp850"), ("German", "mac_roman"), ("French", "cp850"), ("Spanish", "mac_roman"), ("Danish", "cp865"),
]  # fmt: skip
WIDE = ("utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


@pytest.mark.parametrize(("language", "encoding"), OLDER)
def test_a_legacy_encoding_is_detected_by_the_letters_of_its_language(language: str, encoding: str) -> None:
    text = TEXTS[language] * 12
    assert decode(text.encode(encoding))[0] == text


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("language", ["Russian", "Japanese", "German"])
def test_wide_characters_are_read_with_and_without_a_mark(language: str, encoding: str) -> None:
    text = TEXTS[language] * 12
    assert decode(text.encode(encoding))[0] == text


@pytest.mark.parametrize("encoding", [*WIDE, "utf-8", "koi8-r", "cp1252"])
def test_an_encoding_that_the_recipe_names_is_used(encoding: str) -> None:
    text = "Text, nothing else. " * 9
    assert decode(text.encode(encoding), encoding)[0] == text


def test_a_book_whose_first_foreign_letter_comes_late_is_read_by_that_letter() -> None:
    text = "A plain line of English, as most of them are.\n" * 5000 + TEXTS["Turkish"] * 3
    assert decode(text.encode("cp1254"))[0] == text


@pytest.mark.parametrize("text", ["“So” – “it” – “goes”…\n", "Price £5 – £9\n", "«Oui»\n", "* † ‡ §\n", "One plain café.\n"])
def test_punctuation_alone_is_windows_1252(text: str) -> None:
    assert decode(text.encode("cp1252") * 9) == (text * 9, "cp1252")


@given(st.binary(min_size=1, max_size=400))
def test_any_bytes_are_a_text_or_refused(content: bytes) -> None:
    try:
        text, _ = decode(content)
        assert text
    except NotText as reason:
        assert str(reason).startswith(("empty", "binary", "not "))


@pytest.mark.parametrize("content", [b"\xfe\xff", b"\xef\xbb\xbf \n", "\n".encode("utf-32")])
def test_a_mark_alone_is_no_text(content: bytes) -> None:
    with pytest.raises(NotText, match="empty"):
        decode(content)


def test_a_few_zero_bytes_are_kept_and_many_are_no_text(tmp_path: Path) -> None:
    text = "A line of text with one zero byte.\0\n" + "And many lines without one.\n" * 20
    found = read_all(write(tmp_path / "shelf", {"few.txt": text.encode(), "many.txt": b"\0" * 99 + b"text"}), tmp_path / "out")
    assert found.texts == {"few.txt": text} and found.reasons["many.txt"].startswith("binary")


def test_half_a_character_at_the_end_does_not_cost_the_rest(tmp_path: Path) -> None:
    cut = (TEXTS["Japanese"] * 9).rstrip().encode()[:-1]
    found = read_all(write(tmp_path / "shelf", {"cut.txt": cut, "wide.txt": "Text.\n".encode("utf-16")[:-1]}), tmp_path / "out")
    assert found.texts["cut.txt"].startswith(TEXTS["Japanese"])
    assert found.texts["wide.txt"] == "Text." and found.texts["cut.txt"] == (TEXTS["Japanese"] * 9).rstrip()[:-1]
    assert found.reasons == {
        "cut.txt#cut off": "cut off: it ends inside a letter, of which 2 bytes are there",
        "wide.txt#cut off": "cut off: it ends inside a letter, of which 1 bytes are there",
    }

"""Right text in any script stays: its own punctuation is no corruption."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from tests.data.dedup.books import texts_of, write

SPOKEN = {
    "Japanese": "「え？　……うん、」と『彼』。\n「――ねえ、（ほら）、どう？」\n「はい。」「いや！」「なぜ？」\n"
    "【注】「ａ・ｂ」〜「ｃ」、※一。\n「……。」「……？」「――！」",
    "Chinese": "“啊？！”他说：“走！”\n《史记》、《汉书》、《三国志》。\n“来，坐！喝，吃！”——（笑）\n「好！」『是，是。』〈一〉；〔二〕",
    "Arabic": "«لا؟ نعم، لا؛ هو!»\n﴿بِسْمِ اللَّهِ﴾، قال؛ ثم؟\n۔ وہ آیا؟ ہاں، ہاں۔ ٪۵۰",
    "Hindi": "“क्या? हाँ।” ॥१॥ ॥२॥\nराम॥ श्याम॥ हाँ। ना। क्या?",
    "Tibetan": "བོད་ཡིག་ནི་ཤ་ཀ་ར་ས་ལ་།།",
    "curly": "‘‘“Oh?”’’—“…” “‘No.’”\n„So?“ ‚Ja.‘ ‹O!› “—”",
}
SOUP = ("#@^%~|<>{}#@^%~|", "{~}|^=¬¦§¶\\^~<>", "\ufffd\ufffdab\ufffd\ufffdcd")


@pytest.mark.parametrize("quotes", [True, False])
def test_lines_of_right_text_in_any_script_are_not_cut_as_corrupted(tmp_path: Path, quotes: bool) -> None:
    rules: dict[str, Any] = {"minimum_characters": 1, "unwrap": False, "quotes": quotes, "characters": quotes, "dashes": "keep"}
    texts = {name: text + "\n\n" + "\n\n".join(SOUP) for name, text in SPOKEN.items()}
    clean(write(tmp_path / "in", texts), tmp_path / "out", CleanConfig(**rules), threads=1, memory="500MB", scratch=tmp_path / "scratch")
    cleaned = texts_of(tmp_path / "out")
    for name, text in SPOKEN.items():
        assert len(cleaned[name].split("\n")) == len(text.split("\n")), (name, cleaned[name])
        assert not quotes or not set("#^~¦") & set(cleaned[name].replace("〜", ""))


PROSE = (
    "رودخانه از کنار روستا می‌گذشت و آسیاب کهنه هنوز کار می‌کرد. مادر هر صبح نامه‌ای می‌نوشت که هیچ کس نخواند. باغ در زمستان خاموش بود و "
    "پنجره‌ها رو به بندر باز می‌شدند. آموزگار جزیره را خوب می‌شناخت اما دیگر به بازار نمی‌رفت. شب که می‌شد چراغ‌ها یکی یکی روشن می‌شدند و "
    "نگهبان پل از خانه بیرون می‌آمد.",
    "नदी गाँव के पास से बहती थी और पुरानी चक्की अब भी चलती थी। माता हर सुबह एक पत्र लिखती थी जिसे किसी ने नहीं पढ़ा। बगीचा सर्दी में चुप था और "
    "खिड़की बंदरगाह की ओर खुलती थी। शिक्षक द्वीप को अच्छी तरह जानता था पर अब बाज़ार नहीं जाता था। शाम को दीपक एक एक करके जलते थे और "
    "पुल का रखवाला घर से बाहर आता था।",
)


def test_lines_of_prose_are_joined_in_scripts_without_capitals_and_those_of_verse_are_not(tmp_path: Path) -> None:
    """Verse: the same words, a clause a line, so that stops stand at the ends of lines."""
    printed = {str(number): "\n\n".join(textwrap.fill(part, 64) for part in (text, text)) for number, text in enumerate(PROSE)}
    verse = {f"verse {number}": "\n".join(re.split(r"(?<=[.।]) ", text)) for number, text in enumerate(PROSE)}
    clean(write(tmp_path / "in", printed | verse), tmp_path / "out", CleanConfig(), threads=1, memory="500MB", scratch=tmp_path / "scratch")
    cleaned = texts_of(tmp_path / "out")
    for number, text in enumerate(PROSE):
        assert cleaned[str(number)] == f"{text}\n\n{text}"
        assert cleaned[f"verse {number}"] == verse[f"verse {number}"]

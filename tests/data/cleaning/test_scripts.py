"""Right text in any script stays: its own punctuation is no corruption."""

from __future__ import annotations

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

"""The text of an HTML page: by its mark, what the server declared, what the page declares of itself (WHATWG's order), or by its bytes.

A declaration that the bytes contradict is not believed.
"""

from __future__ import annotations

import re

from data.sources.decode import MARKS, decode

DECLARED = re.compile(
    rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]+)|<\?xml[^>]{0,100}encoding\s*=\s*["']([A-Za-z0-9_.-]+)""", re.IGNORECASE
)
WIDER = {
    "iso-8859-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252", "iso-8859-9": "cp1254", "shift_jis": "cp932",
    "gb2312": "gb18030", "gbk": "gb18030", "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "big5": "big5hkscs", "tis-620": "cp874",
}  # fmt: skip
"""What browsers read under a label, by WHATWG's Encoding standard, where Python's codec of that name is narrower."""


def decode_page(content: bytes, declared: str, encoding: str) -> tuple[str, str]:
    """(text, encoding). `declared`: the server's word; `encoding`: the recipe's, which goes before all. Raises NotText."""
    if encoding == "detect" and not content.startswith(tuple(mark for mark, _ in MARKS)):
        inside = DECLARED.search(content[:4096])
        own = (inside[1] or inside[2]).decode("ascii") if inside else ""
        for label in (declared, own):
            codec = WIDER.get(label.lower(), label.lower())
            # A page whose declaration could be read as ASCII is not in UTF-16.
            if not codec or codec.startswith("utf-16"):
                continue
            try:
                return content.decode(codec), codec
            except (UnicodeError, LookupError):
                continue
    return decode(content, encoding)

"""Members of a document that is a zip, read as untrusted input: the limits of archives apply, entities and the network stay off."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from data.sources.archives.archive import ZIP_ERRORS, read_zip_member, zip_members
from data.sources.archives.compression import refuse_bomb
from data.sources.errors import HostileArchive, Unreadable
from data.sources.readers.markup.xml_tree import parse_xml


@contextmanager
def open_zipped(content: bytes, kind: str) -> Iterator[zipfile.ZipFile]:
    """Open a document. Raise Unreadable if it is damaged or encrypted, HostileArchive if it is a bomb."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            refuse_bomb(kind, sum(member.size for member in zip_members(opened)), len(content))
            yield opened
    except (HostileArchive, Unreadable):
        raise
    except (*ZIP_ERRORS, zlib.error) as error:
        raise Unreadable(f"damaged {kind}: {error}") from error


def member_xml(opened: zipfile.ZipFile, name: str, kind: str) -> Any:
    """Return the parsed root of a member. Raise Unreadable if it is missing or no XML, HostileArchive if it declares entities."""
    return parse_xml(read_zip_member(opened, name, kind), kind)

"""Open the files of a model's folder, which come from whoever made the model: the one door through which every reader goes.

Only a regular file is opened, of a size that what it holds can have, so a FIFO, a device or a directory in a file's place is refused
before anything waits for it. A link may leave the folder for a file of the same name, as folders put together from others have them, or
for a blob of a hub's cache. JSON has a depth, and neither NaN nor one key twice. Whatever is wrong raises ModelError, which names the file.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from tokenizers import Tokenizer

JSON_BYTES = 16 * 2**20
"""Of a configuration or an index. That of 140,000 tensors has 13 MB; as Python's objects JSON takes up to 40 times its size."""
TOKENIZER_BYTES = 64 * 2**20
"""Of tokenizer.json. One of 260,000 tokens has 33 MB."""
TEXT_BYTES = 2 * 2**20
"""Of a chat template or a README. Templates with tools have 20 kB."""
MOST_DEPTH = 64
MOST_TOKENS = 4_000_000
"""Ids of tokens, for each of which tables have a row, whatever the number of tokens is."""
MESSAGE = 1_200
_BLOB = re.compile(r"(sha256-)?[0-9a-f]{40,64}")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class ModelError(ValueError):
    """A model's folder or file can't be opened. The message is one line: the file, the value and the way out."""

    def __init__(self, message: str) -> None:
        line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in " ".join(message.split()))
        super().__init__(line if len(line) <= MESSAGE else f"{line[: MESSAGE - 300]} ... {line[-300:]}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raise ModelError that names the file for whatever a library raises inside about its content."""
    try:
        yield
    except ModelError as error:
        if str(path) in str(error) or str(path.parent) in str(error):
            raise
        raise ModelError(f"{path}: {error}") from error
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    # Libraries in Rust raise plain Exception, and for what they did not foresee a PanicException, which is a BaseException.
    except BaseException as error:
        raise ModelError(f"{path} can't be read: {type(error).__name__}: {error}; fetch the model again") from error


def present(path: Path) -> bool:
    """Return whether there is anything at a path, be it only a broken link; what isn't a file is then refused by whoever opens it."""
    return path.is_symlink() or path.exists()


def require_regular(path: Path, *, lacking: str = "", within: bool = True) -> int:
    """Return the size of a regular file in bytes; raise ModelError for anything else.

    `lacking`: what to say of a file that does not exist. `within`: it is part of a folder, out of which links may not lead elsewhere.
    """
    try:
        found = path.stat()
        target = path.resolve() if within and path.is_symlink() else None
        folder = path.parent.resolve() if target is not None else None
    except (FileNotFoundError, NotADirectoryError):
        broken = f"is a link to {path.readlink()}, which does not exist" if path.is_symlink() else "does not exist"
        raise ModelError(f"{path} {broken}: {lacking or f'{path.parent} lacks it; fetch the model again'}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path} can't be opened: {getattr(error, 'strerror', None) or error}; fetch the model again") from error
    if not stat.S_ISREG(found.st_mode):
        kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
        raise ModelError(f"{path} is {kinds.get(stat.S_IFMT(found.st_mode), 'a device')}, not a file; put the model's own file there")
    if target is not None and folder is not None and not _may_leave(path, target, folder):
        raise ModelError(f"{path} is a link out of its folder to {target}, a file of another name; copy that file there if it is meant")
    return found.st_size


def _may_leave(path: Path, target: Path, folder: Path) -> bool:
    blob = target.parent.name == "blobs" and _BLOB.fullmatch(target.name)
    return target.is_relative_to(folder) or target.name == path.name or bool(blob)


def read_bytes(path: Path, most: int, *, lacking: str = "") -> bytes:
    """Return the content of a regular file of at most so many bytes."""
    if (size := require_regular(path, lacking=lacking)) > most:
        raise ModelError(f"{path} has {size:,} bytes, more than the {most:,} that such a file may have; fetch the model again")
    try:
        with path.open("rb") as stream:
            return stream.read(most)
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}; fetch the model again") from error


def read_text(path: Path, most: int = TEXT_BYTES, *, lacking: str = "") -> str:
    """Return the text of a file, which is UTF-8 and keeps its line ends."""
    try:
        return read_bytes(path, most, lacking=lacking).decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not UTF-8: {error}; fetch the model again") from error


def read_json(path: Path, *, lacking: str = "") -> dict[str, Any]:
    """Return the object that a JSON file holds."""
    try:
        text = read_bytes(path, JSON_BYTES, lacking=lacking).decode()
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # half a character can be read and never be written
    except ModelError:
        raise
    except (ValueError, RecursionError) as error:  # what is no UTF-8 is a ValueError, too
        raise ModelError(f"{path} is not JSON: {error}; fetch the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__}, not the fields of a model; fetch the model again")
    level: list[Any] = [value]
    for _ in range(MOST_DEPTH):
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each) if isinstance(inner, dict | list)]
        if not level:
            return value
    raise ModelError(f"{path} nests more than {MOST_DEPTH} objects and lists; fetch the model again")


def optional_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; an empty one without the file."""
    return read_json(path) if present(path) else {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name!r} stands twice in one object")
        found[name] = value
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def token_text(path: Path, name: str, token: Any) -> str:
    """Return the text of a token that a file names, which is written as text or as an object that describes it; empty for none."""
    text = token.get("content") if isinstance(token, dict) else token
    if text is not None and not isinstance(text, str):
        raise ModelError(f"{path}: {name} is {token!r}, not the text of a token; correct it")
    return text or ""


def token_ids(path: Path, names: tuple[str, ...]) -> dict[str, int]:
    """Return the fields of token_roles.json, ids of tokens that each of these names must have, and how many tokens the model knows."""
    fields = read_json(path)
    for name, value in {**dict.fromkeys(names), **fields}.items():
        if name not in (*names, "vocabulary") or type(value) is not int or not 0 <= value < MOST_TOKENS:
            raise ModelError(f"{path}: {name} is {value!r}; it needs {', '.join(names)}, each the id of a token; fetch the model again")
    return fields


def read_tokenizer(path: Path, *, lacking: str = "") -> tuple[bytes, Tokenizer]:
    """Return the content of a tokenizer.json, and the tokenizer as it should read text."""
    content = read_bytes(path, TOKENIZER_BYTES, lacking=lacking)
    with naming(path):
        tokenizer = parse_tokenizer(content)
        highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if not 0 <= highest < MOST_TOKENS:
        raise ModelError(f"{path} has {highest} as the highest id of a token, not one of 0 to {MOST_TOKENS - 1:,}; fetch the model again")
    return content, tokenizer


def parse_tokenizer(content: bytes) -> Tokenizer:
    """Return the tokenizer of a tokenizer.json's content.

    Truncation and padding that were saved with it are reset, as transformers does: documents would be cut to 512 tokens in silence.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(content)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer

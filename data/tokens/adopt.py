"""Takes over the tokenizer of a model from elsewhere: its files as they are, its chat template, and which token is for what.

A tokenizer that loses text is refused, since bits per byte and take-down rely on its tokens giving the text back. Where the model has no
chat template it gets a plain one, without special tokens but the one that ends a message.
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.shards.chat_template import parse_template
from data.shards.model_folder import MOST_TOKENS, optional_json, present, read_text, read_tokenizer, token_text
from data.tokens.encoder import TextEncoder, TokenizerError
from data.tokens.special import ROLES_FILE, SPECIAL_TOKENS, TokenRoles, read_roles, write_roles

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ENDS = ("<|endoftext|>", "<|end_of_text|>")  # what models write at the end of a document, where their eos_token ends a message
NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")
TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ message['role'] | capitalize + ':\\n' + message['content'] + eos_token + '\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Assistant:\\n' }}{%- endif -%}"
)
# Letters of several scripts, marks, digits, white space, a rare character, and a special token as a text may write it.
SAMPLE = (
    "It's 1,234.5 o’clock — Ἀχιλλεύς, «ça va»?\n\n\tДа! 你好。  हिन्दी …   👩\u200d🚀 \ue123 a b\r\n<|endoftext|> </s> x_y=z[0]; THE END.\n"
)


def adopt_tokenizer(directory: Path, output: Path, vocabulary: int, *, begin: str = "", end: str = "") -> dict[str, float]:
    """Copy the tokenizer in `directory` to `output`, with its roles; `vocabulary` is the number of tokens that the model knows.

    `begin`, `end`: tokens that begin and end a document; empty: see `_roles`. Return metrics: vocab_size, own_template (1: the model has a
    chat template). Raise TokenizerError for a tokenizer that can't be used, with the reason.
    """
    output.mkdir(parents=True, exist_ok=True)
    path = directory / "tokenizer.json"
    content, tokenizer = read_tokenizer(path)
    (output / "tokenizer.json").write_bytes(content)
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if highest >= vocabulary:
        raise TokenizerError(f"{path} has a token of id {highest}, but the model knows {vocabulary}: they do not belong together")
    stated = optional_json(directory / "tokenizer_config.json")
    named = {name: token for name in NAMES if (token := _named(name, stated, directory, tokenizer))}
    config = stated | named
    if config.get("eos_token") not in _special(tokenizer):
        raise TokenizerError(
            f"{directory / 'tokenizer_config.json'}: eos_token is {config.get('eos_token')!r}, which isn't a special token of {path.name}, "
            "so nothing would end a reply; name the token that does"
        )
    template = _template(directory, config)
    says_all = all(stated.get(name) for name in named)
    for name, value, stays in (("tokenizer_config.json", config, says_all), ("special_tokens_map.json", named, True)):
        if stays and present(directory / name):
            optional_json(directory / name)
            shutil.copyfile(directory / name, output / name)
        else:
            (output / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (output / "chat_template.jinja").write_text(template or TEMPLATE, encoding="utf-8")
    if all(tokenizer.token_to_id(token) == number for number, token in enumerate(SPECIAL_TOKENS)):
        if vocabulary != tokenizer.get_vocab_size(with_added_tokens=True):
            raise TokenizerError(
                f"{path} is folio's own, with fewer tokens than the {vocabulary} of the model: they do not belong together"
            )
    elif present(directory / ROLES_FILE) and not (begin or end):
        read_roles(directory)
        shutil.copyfile(directory / ROLES_FILE, output / ROLES_FILE)
    else:
        write_roles(output, _roles(tokenizer, config, vocabulary, begin, end, path))
    _require_lossless(output)
    return {"vocab_size": float(vocabulary), "own_template": float(bool(template))}


def _named(name: str, stated: dict[str, Any], directory: Path, tokenizer: Tokenizer) -> str:
    """Return the text of the token that is for something; "" if none is.

    What tokenizer_config.json leaves out stands in special_tokens_map.json, or, of eos_token, in the model's config.json, as GPT-2's does.
    """
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        path = directory / file
        if token := token_text(path, name, (stated if file == "tokenizer_config.json" else optional_json(path)).get(name)):
            return token
    if name != "eos_token":
        return ""
    number = optional_json(directory / "config.json").get("eos_token_id")
    number = number[0] if isinstance(number, list) and number else number
    return (tokenizer.id_to_token(number) or "") if isinstance(number, int) and 0 <= number < MOST_TOKENS else ""


def _template(directory: Path, config: dict[str, Any]) -> str:
    """Return the model's chat template; empty if it has none. Of several with names, the default one."""
    path, template = directory / "chat_template.jinja", config.get("chat_template") or ""
    if present(path):
        source = read_text(path)
    else:
        path = directory / "tokenizer_config.json"
        named = template if isinstance(template, list) else [{"name": "default", "template": template}]
        sources = [one.get("template") for one in named if isinstance(one, dict) and one.get("name") == "default"]
        stated = sources[0] if sources else ""
        if not isinstance(stated, str):
            raise TokenizerError(f"{path}: chat_template is {stated!r}, not a text; correct it")
        source = stated
    parse_template(source, path)
    return source


def _roles(tokenizer: Tokenizer, config: dict[str, Any], vocabulary: int, begin: str, end: str, path: Path) -> TokenRoles:
    """Return which token is for what.

    A document ends with what models write there, and begins as the tokenizer begins a text, or, where it puts nothing before a text, with
    the token that ends the document before. Rows are filled with pad_token, or with the end of a document.
    """

    def number(name: str, key: str) -> int:
        found = tokenizer.token_to_id(name)
        if found is None:
            raise TokenizerError(f"{path} has no token {name!r}; give {key} one that it has")
        return int(found)

    special = _special(tokenizer)
    last = number(end or next((name for name in ENDS if name in special), str(config["eos_token"])), "base.document_end")
    first = number(begin, "base.document_begin") if begin else _put_before(tokenizer)
    pad = config.get("pad_token")
    return TokenRoles(last if first is None else first, last, number(pad, "pad_token") if pad else last, vocabulary)


def _special(tokenizer: Tokenizer) -> set[str]:
    return {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}


def _put_before(tokenizer: Tokenizer) -> int | None:
    """Return the token that the tokenizer puts before a text; None if it puts none."""
    plain, whole = (tokenizer.encode("a", add_special_tokens=added).ids for added in (False, True))
    return whole[0] if whole[: len(plain)] != plain else None


def _require_lossless(directory: Path) -> None:
    """Raise TokenizerError unless its tokens give a text back, up to Unicode's composed form, which some tokenizers put texts in."""
    encoder = TextEncoder(directory)
    ids = next(encoder.encode([SAMPLE]))
    composed, spelled = unicodedata.normalize("NFC", SAMPLE), b"".join(encoder.spellings[number] for number in ids.tolist())
    if encoder.decode(ids) not in (SAMPLE, composed) or spelled.decode(errors="replace").removeprefix(" ") not in (SAMPLE, composed):
        raise TokenizerError(
            f"{directory / 'tokenizer.json'} loses text: {composed[:40]!r} comes back as {encoder.decode(ids)[:40]!r}; a model with such a "
            "tokenizer can't be measured or take documents down, so it is not adopted"
        )

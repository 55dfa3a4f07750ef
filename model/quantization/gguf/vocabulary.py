"""A tokenizer's vocabulary, merges and chat template for llama.cpp's GGUF, and the Modelfile that Ollama reads.

A tokenizer's vocabulary, merges and chat template, as llama.cpp reads them from a GGUF file.
llama.cpp splits text into words by rules that it knows by name, so only a tokenizer whose rule is one of those is written.

Ollama's Modelfile: which file holds the weights, and the chat format in Go's template language.

Ollama has no Jinja, so the format is found by rendering the template with marks for a message's content, one role at a time. A template
that does more to system, user and assistant messages than to put fixed text around them gets no TEMPLATE, and a comment says so. Tools
and thinking are not in it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.shards.chat_template import BoundedEnvironment
from model.networks.base import ModelError
from model.opening.gguf.tokenizer import BY_PATTERN

if TYPE_CHECKING:
    from gguf import GGUFWriter

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5


def write_vocabulary(writer: GGUFWriter, tokenizer_dir: Path, vocab_size: int) -> None:
    """Add the tokenizer to a file. Ids that a model has and its tokenizer lacks are marked as unused.

    Raise ModelError for a tokenizer that llama.cpp would split otherwise, and for one with more tokens than the model.
    """
    parsed, config = _read(tokenizer_dir / "tokenizer.json"), _read(tokenizer_dir / "tokenizer_config.json")
    model = parsed["model"]
    rule = word_rule(parsed, tokenizer_dir)
    ids: dict[str, int] = model["vocab"]
    added = {token["id"]: token for token in parsed.get("added_tokens", [])}
    tokens = {**{number: name for name, number in ids.items()}, **{number: token["content"] for number, token in added.items()}}
    if max(tokens) >= vocab_size:
        raise ModelError(f"{tokenizer_dir} has {max(tokens) + 1} tokens but the model has {vocab_size}: they do not match")
    kinds = [UNUSED if n not in tokens else NORMAL if n not in added else CONTROL if added[n]["special"] else USER_DEFINED
             for n in range(vocab_size)]  # fmt: skip
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list([tokens.get(number, f"[PAD{number}]") for number in range(vocab_size)])
    writer.add_token_types(kinds)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]])
    by_name = {name: number for number, name in tokens.items()}
    for role, add in (("bos", writer.add_bos_token_id), ("eos", writer.add_eos_token_id), ("pad", writer.add_pad_token_id)):
        if (name := _name(config.get(f"{role}_token"))) in by_name:
            add(by_name[name])
    if "<|end|>" in by_name:
        writer.add_eot_token_id(by_name["<|end|>"])
    writer.add_add_bos_token(_begins_texts(parsed, by_name.get(_name(config.get("bos_token")))))
    writer.add_add_space_prefix(False)
    writer.add_chat_template(plain_template(tokenizer_dir))


def plain_template(tokenizer_dir: Path) -> str:
    """Return the chat template without generation blocks, which mark what training learns and not every Jinja knows."""
    text = (tokenizer_dir / "chat_template.jinja").read_text(encoding="utf-8")
    opened = re.sub(r"\{%(-?)\s*generation\s*(-?)%\}", r"{%\1 if true \2%}", text)
    return re.sub(r"\{%(-?)\s*endgeneration\s*(-?)%\}", r"{%\1 endif \2%}", opened)


def _begins_texts(parsed: dict[str, Any], begin: int | None) -> bool:
    """Return whether the tokenizer puts its begin token before a text; folio's own leaves that to the chat template."""
    from tokenizers import Tokenizer

    ids = Tokenizer.from_str(json.dumps(parsed)).encode("a").ids
    return begin is not None and ids[0] == begin


def word_rule(parsed: dict[str, Any], where: Path) -> str:
    """Return llama.cpp's name for the tokenizer's rule of splitting text into words. Raise ModelError if it knows none."""
    kind, steps = parsed["model"].get("type"), parsed.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    shape = [step.get("type") for step in steps]
    found = ""
    if shape == ["ByteLevel"] and steps[0].get("use_regex", True) and not steps[0].get("add_prefix_space"):
        found = "gpt-2"
    elif shape == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and steps[1].get("use_regex", True):
        found = "smollm"
    elif shape == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        found = BY_PATTERN.get(steps[0].get("pattern", {}).get("Regex", ""), "")
    if kind != "BPE" or not found or parsed["model"].get("byte_fallback"):
        raise ModelError(
            f"{where / 'tokenizer.json'} holds a tokenizer of type {kind} with words split by {' and '.join(map(str, shape))}, and "
            "llama.cpp would split text otherwise; a GGUF file takes a tokenizer of kind byte_level_bpe"
        )
    return found


def _name(token: object) -> str:
    """Return a token's text from tokenizer_config.json, where it is a string or stands in an object."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path} does not exist: a GGUF file needs the tokenizer's whole directory")
    return dict(json.loads(path.read_text(encoding="utf-8")))


MODELFILE = "Modelfile"
ROLES = ("system", "user", "assistant")
MARK = "\ue000"


def write_modelfile(tokenizer: Path, output: Path, weights: str, context: int) -> None:
    """Write `output/Modelfile` for a GGUF file in the same folder."""
    config = json.loads((tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))
    names = {name: _text(config[name]) for name in ("bos_token", "eos_token", "pad_token") if config.get(name)}
    parts = _parts(plain_template(tokenizer), names)
    lines = [f"FROM ./{weights}", f"PARAMETER num_ctx {context}", "PARAMETER temperature 0"]
    if parts is None:
        lines.insert(1, "# The chat template does more than to put text around each message; Ollama needs a TEMPLATE written by hand.")
    else:
        begin, around, reply = parts
        roles = "".join(
            f'{{{{- {"if" if place == 0 else "else if"} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
            for place, (role, (before, after)) in enumerate(around.items())
        )
        lines.append(f'TEMPLATE """{begin}{{{{- range .Messages }}}}{roles}{{{{- end }}}}{{{{- end }}}}{reply}"""')
        lines += [f"PARAMETER stop {json.dumps(stop)}" for stop in sorted({after for _, after in around.values() if after})]
    (output / MODELFILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _parts(template: str, names: dict[str, str]) -> tuple[str, dict[str, tuple[str, str]], str] | None:
    """Return the text at the beginning, around each role's content, and before a reply; None for a template that does more."""
    from jinja2 import TemplateError

    compiled = BoundedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(template)

    def rendered(roles: tuple[str, ...], reply: bool = False) -> str:
        messages = [{"role": role, "content": MARK} for role in roles]
        return compiled.render({"messages": messages, "add_generation_prompt": reply, **names})

    try:
        user = rendered(("user",))
        begin = rendered(())
        reply = rendered(("user",), True).removeprefix(user)
        around = {}
        for role in ROLES:
            before, mark, after = rendered((role,)).removeprefix(begin).partition(MARK)
            if not mark or MARK in after:
                return None
            around[role] = (before, after)
        talk = ("system", "user", "assistant", "user")
        joined = begin + "".join(f"{around[role][0]}{MARK}{around[role][1]}" for role in talk)
        return (begin, around, reply) if rendered(talk) == joined and '"""' not in joined + reply else None
    except TemplateError:
        return None


def _text(token: object) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)

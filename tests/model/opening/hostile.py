"""Folders of models that somebody spoiled, by accident or on purpose: a small sound one, with one thing changed that a seed draws."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from model.adapters.protocol import write_adapter
from model.networks.config import DecoderConfig
from model.networks.directory import load_model, save_model
from model.quantization.integers import Int8Config
from tests.model.networks.test_open_models import published
from tests.model.opening.test_gguf import write_gguf
from tests.model.opening.tiny import CHATML, write_tokenizer

VOCABULARY = 300
ARCHITECTURES = {"llama-2": "llama", "qwen3": "qwen3", "gpt-2": "gpt2"}
CHANGED = "model.layers.0.self_attn.q_proj"
FORMS = (*ARCHITECTURES, "folio")
ADAPTER = "adapters/polite"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"
WEIGHTS = (*SHARDS, f"{ADAPTER}/adapter_model.safetensors", "int8/model.int8.safetensors")
JSON_FILES = (
    *("config.json", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("token_roles.json", INDEX, f"{ADAPTER}/adapter_config.json", "int8/config.json"),
)
FILES = (*JSON_FILES, "chat_template.jinja", *WEIGHTS, "README.md")
HEADER = struct.Struct("<Q")
NUMBERS = (0, -1, 2, 0.5, 10**8, 2**31, 2**60, 2**63, 2**64, -(2**63), 10**30, 1e308, 5e-324)
OTHERS: tuple[Any, ...] = (
    *(None, True, "", "text", "\ud800", "1e999999999", "../..", "\x00"),
    *([], {}, [[]], {"": {}}, [1] * 1000, "x" * 3_000_000),
)
VALUES = (*NUMBERS, *NUMBERS, *OTHERS)
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "[" * 100_000, '{"a":' * 100 + "1" + "}" * 100, '{"a": 1, "a": 2}', "")
TEMPLATES = (
    "{% for a in range(90000) %}{% for b in range(90000) %}{% for c in range(90000) %}{% endfor %}{% endfor %}{% endfor %}",
    "{{ 'a' * 10**12 }}",
    "{{ messages[0].content.x.y }}",
    "{{ 1 // 0 }}{{ 1 + 'a' }}",
    "{% if true %}" * 3000,
    "{% if true %}" * 300 + "{% endif %}" * 300,
    "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    "{{ " + "-" * 100_000 + "1 }}",
    "{% include '/etc/passwd' %}",
    "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ ''.__class__.__mro__ }}",
    "x" * 3_000_000,
)


def write_sound(folder: Path, form: str) -> None:
    """Write a model with every file that is read: two shards with an index, words, a template, a LoRA, a rounded form and a GGUF file."""
    folder.mkdir(parents=True)
    write_tokenizer(folder, vocabulary=VOCABULARY)
    name = form if form in ARCHITECTURES else "llama-2"
    theirs: Any = published(name, folder, VOCABULARY)
    write_gguf(folder / "whole.gguf", ARCHITECTURES[name], theirs)
    if form == "folio":
        config = DecoderConfig(width=32, layers=2, heads=4, feed_forward=48, context=32, positions="alibi")
        save_model(config.build(VOCABULARY), folder, extra={"tokenizer_digest": None})
    Int8Config(kind="int8").build().write(folder, folder / "int8", None, None)
    (folder / "chat_template.jinja").write_text(CHATML)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A small Llama\n")
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    roles = {"document_begin": 0, "document_end": 0, "padding": 2, "vocabulary": VOCABULARY}
    (folder / "token_roles.json").write_text(json.dumps(roles))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = (names[: len(names) // 2], names[len(names) // 2 :])
    for file, part in zip(SHARDS, parts, strict=True):
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
    where = {name: file for file, part in zip(SHARDS, parts, strict=True) for name in part}
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    rows, columns = load_model(folder).state_dict()[f"{CHANGED}.weight"].shape
    inside = f"base_model.model.{CHANGED}.lora"
    changes = {f"{inside}_A.weight": torch.ones(2, columns), f"{inside}_B.weight": torch.ones(rows, 2)}
    write_adapter(changes, {"peft_type": "LORA", "r": 2, "lora_alpha": 4.0, "bias": "none"}, folder / ADAPTER)


def spoil(folder: Path, seed: int) -> str:
    """Change one thing of a sound folder, and return which file it is, and what was done."""
    rng = random.Random(seed)
    kinds: dict[Callable[[Path, random.Random], str], int] = {
        _json: 9,
        _place: 4,
        _bytes: 3,
        _weights: 5,
        _gguf: 5,
        _template: 2,
        _shards: 2,
    }
    kind = rng.choices(list(kinds), weights=list(kinds.values()))[0]
    return kind(folder, rng)


def _json(folder: Path, rng: random.Random) -> str:
    """Another value, or none, or one that JSON does not have, at any place of an object."""
    file = rng.choice(JSON_FILES)
    value = json.loads((folder / file).read_text())
    places = list(_places(value))
    holder, key = rng.choice(places if rng.random() < 0.5 else [place for place in places if place[0] is value])
    action = rng.choice(("value", "value", "value", "raw", "gone"))
    said = f"{file}: {action} of {key!r}"
    if action == "gone":
        del holder[key]
    else:
        holder[key] = new = rng.choice(VALUES) if action == "value" else "<here>"
        said += f" {str(new)[:40]!r}"
    text = json.dumps(value)
    if action == "raw":
        text = text.replace('"<here>"', raw := rng.choice(RAW))
        said += f" {raw[:40]}"
    (folder / file).write_text(text)
    return said


def _places(value: Any) -> Any:
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _place(folder: Path, rng: random.Random) -> str:
    """Something else in a file's place."""
    path = folder / (file := rng.choice((*FILES, "whole.gguf")))
    path.rename(kept := path.with_name(path.name + ".kept"))
    action = rng.choice(("gone", "fifo", "directory", "socket", "zero", "loop", "dangling", "elsewhere", "inside"))
    if action == "fifo":
        os.mkfifo(path)
    elif action == "directory":
        path.mkdir()
    elif action == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name has at most 107 characters
        try:
            socket.socket(socket.AF_UNIX).bind(path.name)
        finally:
            os.chdir(here)
    elif action != "gone":
        path.symlink_to(
            {"zero": "/dev/zero", "loop": path.name, "dangling": "nowhere", "elsewhere": "/etc/passwd", "inside": kept.name}[action]
        )
    return f"{file}: {action}"


def _bytes(folder: Path, rng: random.Random) -> str:
    """Other bytes."""
    path = folder / (file := rng.choice((*FILES, "whole.gguf")))
    content = bytearray(path.read_bytes())
    action, at = rng.choice(("cut", "empty", "bom", "latin", "flip", "null", "twice")), rng.randrange(len(content))
    if action == "flip":
        for _ in range(8):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    changed: dict[str, bytes | bytearray] = {
        **{"cut": content[:at], "empty": b"", "bom": b"\xef\xbb\xbf" + content, "latin": content[:at] + b"\xff\xe9" + content[at:]},
        **{"flip": content, "null": content[:at] + b"\0" * 9 + content[at:], "twice": content + content},
    }
    path.write_bytes(changed[action])
    return f"{file}: {action} at {at}"


def _weights(folder: Path, rng: random.Random) -> str:
    """A header of weights that contradicts itself, the file, or the network."""
    path = folder / (file := rng.choice(WEIGHTS))
    content = path.read_bytes()
    (length,) = HEADER.unpack(content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    name = rng.choice([key for key in header if key != "__metadata__"])
    entry, action = header[name], rng.choice(("length", "dtype", "shape", "offset", "gone", "extra", "many", "nan", "meta"))
    said = rng.choice(VALUES)
    if action == "dtype":
        entry["dtype"] = rng.choice(("I64", "I8", "BOOL", "F8_E4M3", "F16", "C64", "X", 5))
    elif action == "shape":
        entry["shape"] = rng.choice(([2**60], [-1], [], [0, 2**62], entry["shape"][::-1], [1, *entry["shape"]], [2**31] * 4, "text", said))
    elif action == "offset":
        entry["data_offsets"] = rng.choice(([0, 2**62], [-4, 0], [8, 4], [0, len(data)], [len(data), len(data) + 4], [said, said], []))
    elif action == "gone":
        del header[name]
    elif action == "extra":
        header["another"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    elif action == "many":
        header |= {f"w{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(20_000)}
    elif action == "meta":
        header["__metadata__"] = said
    elif action == "nan":
        data = b"\xff" * len(data)
    text = json.dumps(header).encode()
    size = rng.choice((0, 1, 2**40, 2**63, 2**64 - 1, len(content), length - 1)) if action == "length" else len(text)
    path.write_bytes(HEADER.pack(size) + text + data)
    return f"{file}: {action} of {name}"


def _gguf(folder: Path, rng: random.Random) -> str:
    """A count, a length or an offset of a GGUF header that is anything; most numbers there are eight bytes."""
    path = folder / "whole.gguf"
    content = bytearray(path.read_bytes())
    text = b"tokenizer.ggml." + rng.choice((b"tokens", b"merges", b"token_type")) if rng.random() < 0.3 else b""
    at = content.index(text) + len(text) + 8 if text else rng.choice((8, 16, rng.randrange(24, 9000), content.index(b"blk.0") - 8))
    new = rng.choice((2**60, 2**63, 2**64 - 1, 2**32, 10**7, 0, 1, rng.getrandbits(64)))
    content[at : at + 8] = HEADER.pack(new)
    path.write_bytes(content)
    return f"whole.gguf: {new} at {at} {text.decode()}"


def _template(folder: Path, rng: random.Random) -> str:
    template = rng.choice(TEMPLATES)
    (folder / "chat_template.jinja").write_text(template)
    return f"chat_template.jinja: {template[:50]}"


def _shards(folder: Path, rng: random.Random) -> str:
    """An index that names other files."""
    index = json.loads((folder / INDEX).read_text())
    name = rng.choice(list(index["weight_map"]))
    other = rng.choice(("pytorch_model.bin", "../x.safetensors", "/etc/passwd", "nowhere.safetensors", "", "a" * 400, "x\0.safetensors"))
    index["weight_map"][name] = other
    (folder / INDEX).write_text(json.dumps(index))
    if other == "pytorch_model.bin":
        shutil.copyfile(folder / SHARDS[0], folder / other)
    return f"{INDEX}: {other[:40]!r}"

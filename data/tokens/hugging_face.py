"""Writes the files that make a tokenizer directory loadable by Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path

from data.tokens.special import CHAT_TEMPLATE, SPECIAL_TOKENS, UNKNOWN


def write_hugging_face_files(output: Path, *, unknown: bool) -> None:
    """Write what `transformers.AutoTokenizer` needs besides tokenizer.json: config, special tokens, chat template.

    transformers renders the template into one string and parses it, so that there, unlike in `chat.py`, a user who writes a special token
    gets one. Serving must encode content as `chat.py` does.
    """
    pad, bos, eos = SPECIAL_TOKENS[:3]
    names = {"bos_token": bos, "eos_token": eos, "pad_token": pad} | ({"unk_token": UNKNOWN} if unknown else {})
    extra = list(SPECIAL_TOKENS[3:])
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **names,
        "additional_special_tokens": extra,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000,
        "model_input_names": ["input_ids", "attention_mask"],
        "chat_template": CHAT_TEMPLATE,
    }
    write_json(output / "tokenizer_config.json", config)
    write_json(output / "special_tokens_map.json", {**names, "additional_special_tokens": extra})
    (output / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write indented JSON with a line end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

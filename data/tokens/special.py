"""The special tokens, their ids and the chat format; and which tokens do their work in a tokenizer from elsewhere.

A conversation is `<|bos|>`, then each message as its role token, its content and `<|end|>`; with nothing between. Tools, their calls and
results, and thinking are text within messages.

A tokenizer directory that was adopted has `token_roles.json` beside tokenizer.json: {"document_begin", "document_end", "padding": ids,
"vocabulary": rows of the model's embedding}."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from data.shards.model_folder import present, token_ids

SPECIAL_TOKENS = ("<|pad|>", "<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
UNKNOWN = "<|unk|>"  # the eighth, in tokenizers that can't encode every text
PAD, BOS, EOS, SYSTEM, USER, ASSISTANT, END = range(7)
ROLES_FILE = "token_roles.json"
ROLES = ("document_begin", "document_end", "padding")

# Jinja for Hugging Face's apply_chat_template. It is here and not in a file of its own so that a change to it is a change of code, which
# stage keys see. A tool's result has the user's authority, not the system's. What the assistant writes, its end token included, is marked
# by generation blocks, which training takes its loss mask from.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{%- set told = messages -%}"
    "{%- if tools -%}"
    "{{ '<|system|>' }}"
    "{%- if messages[0]['role'] == 'system' -%}{{ messages[0]['content'] + '\\n\\n' }}{%- set told = messages[1:] -%}{%- endif -%}"
    "{{ 'Tools:' }}{%- for tool in tools -%}{{ '\\n' + tool | tojson }}{%- endfor -%}"
    '{{ \'\\nCall one as <tool_call>{"name": ..., "arguments": ...}</tool_call>.<|end|>\' }}'
    "{%- endif -%}"
    "{%- for message in told -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{ '<|assistant|>' }}"
    "{%- generation -%}"
    "{%- if message['thinking'] -%}{{ '<think>\\n' + message['thinking'] + '\\n</think>\\n\\n' }}{%- endif -%}"
    "{{ message['content'] or '' }}"
    "{%- for call in message['tool_calls'] or [] -%}"
    "{%- set asked = call['function'] or call -%}"
    "{%- if message['content'] or not loop.first -%}{{ '\\n' }}{%- endif -%}"
    "{{ '<tool_call>{\"name\": ' + asked['name'] | tojson + ', \"arguments\": ' }}"
    "{{ (asked['arguments'] if asked['arguments'] is string else asked['arguments'] | tojson) + '}</tool_call>' }}"
    "{%- endfor -%}"
    "{{ '<|end|>' }}"
    "{%- endgeneration -%}"
    "{%- elif message['role'] == 'tool' -%}"
    "{{ '<|user|><tool_response>\\n' + message['content'] + '\\n</tool_response><|end|>' }}"
    "{%- elif message['role'] in ['system', 'user'] -%}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{%- else -%}"
    "{{ raise_exception('unknown role ' + message['role'] + ': use system, user, assistant or tool') }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)


@dataclass(frozen=True)
class TokenRoles:
    """Token ids by role. `document_begin` may equal `document_end`, and `padding` either of them: rows tell them by position.

    vocabulary: how many tokens the model knows, where that is more than the tokenizer has; 0: as many.
    """

    document_begin: int = BOS
    document_end: int = EOS
    padding: int = PAD
    vocabulary: int = 0


def read_roles(directory: Path) -> TokenRoles | None:
    """Return the roles of an adopted tokenizer; None for one that folio fitted."""
    path = Path(directory) / ROLES_FILE
    return TokenRoles(**token_ids(path, ROLES)) if present(path) else None


def write_roles(directory: Path, roles: TokenRoles) -> None:
    """Write the roles into a tokenizer directory."""
    (directory / ROLES_FILE).write_text(json.dumps(asdict(roles), indent=2) + "\n", encoding="utf-8")


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

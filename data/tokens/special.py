"""The special tokens, their ids and the chat format.

A conversation is `<|bos|>`, then each message as its role token, its content and `<|end|>`; with nothing between.
"""

from __future__ import annotations

SPECIAL_TOKENS = ("<|pad|>", "<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
UNKNOWN = "<|unk|>"  # the eighth, in tokenizers that can't encode every text
PAD, BOS, EOS, SYSTEM, USER, ASSISTANT, END = range(7)
ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}

# Jinja for Hugging Face's apply_chat_template. It is here and not in a file of its own so that a change to it is a change of code, which
# stage keys see.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{%- for message in messages -%}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}"
    "{{ raise_exception('unknown role ' + message['role'] + ': use system, user or assistant') }}"
    "{%- endif -%}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)

"""Requests that no server should answer: bodies that are no JSON, fields of wrong types, values out of range, parameters unknown."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

WRONG: list[Any] = [7, True, {}, None, -0.5, [None], [[]], [{}], {"a": {}}, [{"role": "user"}], [{"role": "wizard", "content": "x"}]]
CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 2}
TEXT: dict[str, Any] = {"model": "tiny", "prompt": "Ada", "max_tokens": 2}
VECTOR: dict[str, Any] = {"model": "vectors", "input": "Ada"}
RAW = [
    b"", b"{", b"null", b"[]", b'"text"', b"{'a': 1}", b"\xff\xfe\x00", b'{"model": "tiny"', b"[" * 5000, b'{"a":' * 3000, b"NaN", b"123",
    b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}', b'{"model": "tiny", "prompt": "\xff"}',
    b'{"model": "tiny", "prompt": "a", "temperature": NaN}', b'{"model": "tiny", "prompt": "a", "temperature": 1e999}',
]  # fmt: skip


def malformed(count: int, seed: int = 1) -> Iterator[tuple[str, str, bytes]]:
    """Yield `count` requests, each a path, a kind of fault and a body."""
    drawing = random.Random(seed)
    paths = {"/v1/chat/completions": CHAT, "/v1/completions": TEXT, "/v1/embeddings": VECTOR}
    for number in range(count):
        path = drawing.choice(list(paths))
        body, kind = dict(paths[path]), number % 5
        required = [name for name in body if name != "max_tokens"]
        if kind == 0:
            yield path, "raw", drawing.choice(RAW) if number % 2 else json.dumps(body).encode()[: drawing.randrange(1, 20)]
            continue
        if kind == 1:
            del body[drawing.choice(required)]
        elif kind == 2:
            body[drawing.choice(["tols", "__proto__", "functions", "suffix", "echo", "x" * 300, ""])] = drawing.choice(
                [1, "y", [1], {"a": 1}]
            )
        elif kind == 3:
            body[drawing.choice(required)] = drawing.choice(WRONG)
        elif path == "/v1/embeddings":
            body["encoding_format"] = drawing.choice([wrong for wrong in WRONG if wrong is not None])
        else:
            field = drawing.choice(["temperature", "top_p", "max_tokens", "n", "seed", "stop", "stream", "logit_bias", "response_format"])
            body[field] = drawing.choice(["x" * 2000, -5, [5], [[]], {"a": []}, 1e300, [{}]])
            if field == "seed" and body[field] == -5:
                body[field] = "five"
        yield path, f"kind {kind}", json.dumps(body).encode()

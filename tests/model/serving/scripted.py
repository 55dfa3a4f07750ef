"""A model that says what it is told to, a word at a time, so that the page can be shown anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from model.serving.schema import ChatRequest, CompletionRequest, EmbeddingRequest
from model.serving.served import About, ApiError

HOSTILE = """<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>
[click](javascript:document.title='taken') ![picture](http://evil.example/x.png) <iframe src="//evil.example"></iframe>

```html
</code></pre><svg onload="document.title='taken'">
```
"""
RICH = """<think>
Two parts: a list, then code.
</think>

# Two roads

**Bold**, *slanted*, `code` and [a link](https://example.org/x_y).

1. first
2. second
   - inside

> quoted

| who | where |
|---|---|
| Ada | Avel |

```python
print("walked")
```
"""


class ScriptedModel:
    """A `ServedModel` of one text, `delay` seconds between words. `abilities`: those besides chat."""

    def __init__(self, name: str, text: str, delay: float = 0.0, abilities: tuple[str, ...] = ()) -> None:
        self.about = About(name, [f"{name}: a scripted model", "of known making"], 128, 1, None, ("chat", *abilities), "test")
        self.alive, self._text, self._delay, self.asked = True, text, delay, list[ChatRequest]()
        self.cancelled = 0

    async def chat(self, asked: ChatRequest, http: Request) -> Response:
        self.asked.append(asked)
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        ended = False
        try:
            for word in self._text.split(" "):
                choice = {"index": 0, "delta": {"content": word + " "}, "finish_reason": None}
                yield b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
                await asyncio.sleep(self._delay)
            yield b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
            ended = True
        finally:
            self.cancelled += not ended

    async def complete(self, asked: CompletionRequest, http: Request) -> Response:
        raise ApiError(404, "only chat")

    async def embed(self, asked: EmbeddingRequest, http: Request) -> Response:
        raise ApiError(404, "only chat")

    def load(self) -> tuple[int, int]:
        return 0, 0

    def close(self) -> None:
        """Nothing runs."""

"""Ollama's Modelfile: which file holds the weights, and the chat format in Go's template language.

Ollama has no Jinja, so the format is found by rendering the template with marks for a message's content, one role at a time. A template
that does more to system, user and assistant messages than to put fixed text around them gets no TEMPLATE, and a comment says so. Tools
and thinking are not in it.
"""

from __future__ import annotations

import json
from pathlib import Path

from model.quantization.gguf.vocabulary import plain_template

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
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    compiled = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(template)

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

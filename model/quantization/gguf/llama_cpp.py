"""llama.cpp, as the library `llama-cpp-py-sync` carries it: rounds to its K-quants, and computes logits as its users get them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.networks.directory import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE_TYPES = {
    **{"Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18},
}
F32, F16, Q8_0 = 0, 1, 8  # of ggml
NO_FLASH = 0


def round_by_llama_cpp(source: Path, output: Path, file_type: str, embeddings: str) -> None:
    """Write a GGUF file in fp32 again with matrices rounded to llama.cpp's mixture `file_type`; raise ModelError if it refuses."""
    native, foreign = library()
    native.llama_backend_init()
    LOG.listen(native, foreign)
    settings = native.llama_model_quantize_default_params()
    settings.ftype = FILE_TYPES[file_type]
    settings.nthread = 1
    wanted = {"F16": F16, "Q8_0": Q8_0}[embeddings]
    settings.output_tensor_type = settings.token_embedding_type = wanted
    given = foreign.new("llama_model_quantize_params *", settings)
    if native.llama_model_quantize(str(source).encode(), str(output).encode(), given):
        raise ModelError(f"llama.cpp could not round {source} to {file_type}: {LOG}; choose another type")


class LlamaCpp:
    """A GGUF file, opened in llama.cpp on the CPU. `exact`: keep the cache in fp32, as the proofs need it; otherwise as users have it."""

    def __init__(self, path: Path, context: int, *, threads: int = 1, exact: bool = False) -> None:
        self._native, self._foreign = library()
        self._native.llama_backend_init()
        LOG.listen(self._native, self._foreign)
        settings = self._native.llama_model_default_params()
        settings.n_gpu_layers = 0
        self._model = self._native.llama_model_load_from_file(str(path).encode(), settings)
        if self._model == self._foreign.NULL:
            raise ModelError(f"llama.cpp does not open {path}: {LOG}")
        shape = self._native.llama_context_default_params()
        shape.n_ctx = shape.n_batch = shape.n_ubatch = context
        shape.n_threads = shape.n_threads_batch = threads
        if exact:
            shape.flash_attn_type, shape.type_k, shape.type_v = NO_FLASH, F32, F32
        self._context = self._native.llama_init_from_model(self._model, shape)
        if self._context == self._foreign.NULL:
            self._native.llama_model_free(self._model)
            raise ModelError(f"llama.cpp opens {path} but has no memory for a context of {context} tokens")
        self.vocab_size = int(self._native.llama_vocab_n_tokens(self._native.llama_model_get_vocab(self._model)))

    def logits(self, ids: Sequence[int], start: int = 0) -> NDArray[Any]:
        """Return logits [tokens, vocabulary] of tokens from position `start` on; 0 clears the context."""
        import numpy as np

        if not start:
            self._native.llama_memory_clear(self._native.llama_get_memory(self._context), True)
        batch = self._native.llama_batch_init(len(ids), 0, 1)
        try:
            batch.n_tokens = len(ids)
            for place, token in enumerate(ids):
                batch.token[place], batch.pos[place], batch.logits[place] = int(token), start + place, 1
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
            if code := self._native.llama_decode(self._context, batch):
                raise RuntimeError(f"llama.cpp could not compute {len(ids)} tokens: code {code}")
            found = self._native.llama_get_logits(self._context)
            size = len(ids) * self.vocab_size
            return np.frombuffer(self._foreign.buffer(found, 4 * size), np.float32).reshape(len(ids), -1).copy()
        finally:
            self._native.llama_batch_free(batch)

    @property
    def memory(self) -> int:
        """Bytes of the weights."""
        return int(self._native.llama_model_size(self._model))

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        """Return the `count` likeliest next tokens, one after the other."""
        written: list[int] = []
        row, done = self.logits(ids)[-1], len(ids)
        while True:
            written.append(int(row.argmax()))
            if len(written) == count:
                return written
            row, done = self.logits(written[-1:], done)[-1], done + 1

    def tokens(self, text: str, *, special: bool = False) -> list[int]:
        """Return llama.cpp's tokens of a text; `special`: whether names of special tokens in it become those."""
        vocabulary, raw = self._native.llama_model_get_vocab(self._model), text.encode()
        room = len(raw) + 8
        found = self._foreign.new("llama_token[]", room)
        count = self._native.llama_tokenize(vocabulary, raw, len(raw), found, room, False, special)
        return [int(found[place]) for place in range(count)]

    def close(self) -> None:
        """Free the memory."""
        self._native.llama_free(self._context)
        self._native.llama_model_free(self._model)

    def __enter__(self) -> LlamaCpp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def library() -> tuple[Any, Any]:
    """Return llama.cpp and its foreign-function interface; raise ModelError that says how to install it."""
    try:
        from llama_cpp_py_sync import _cffi_bindings as bindings
    except ImportError:
        raise ModelError("this needs llama.cpp: pip install -e '.[gguf]', or choose a type other than a K-quant") from None
    native: Any = bindings
    return native.get_lib(), native.get_ffi()


class Log:
    """Collect llama.cpp's log, kept from the terminal; its errors become part of ours."""

    ERROR = 4

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._callback: Any = None  # must outlive the calls

    def listen(self, native: Any, foreign: Any) -> None:
        """Take llama.cpp's log, and forget what it said before."""
        self._lines.clear()
        if self._callback is None:
            self._callback = foreign.callback("void(enum ggml_log_level, const char *, void *)", self._take(foreign))
            native.llama_log_set(self._callback, foreign.NULL)

    def _take(self, foreign: Any) -> Any:
        def take(level: int, text: Any, data: object) -> None:
            if level == self.ERROR:
                self._lines.append(foreign.string(text).decode(errors="replace").strip())

        return take

    def __str__(self) -> str:
        return self._lines[0] if self._lines else "it does not say why"


LOG = Log()

"""The programs that people run a model in, opened on a directory: each says what follows a text, and how fast it writes.

A kind of quantization names the tool that its users run. Each rounds in its own way, as llama.cpp rounds the inputs of matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.inference.open_model import open_model
from model.networks.directory import ModelError
from model.quantization.compressed.quantizer import quiet
from model.quantization.config import quantizer_of
from model.quantization.gguf.llama_cpp import LlamaCpp
from model.quantization.onnx.quantizer import OnnxRuntime

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Tool(Protocol):
    """A model, opened in a program."""

    @property
    def memory(self) -> int:
        """Bytes of the weights as the program holds them."""

    def logits(self, ids: Sequence[int]) -> NDArray[Any]:
        """Return float [tokens, vocabulary], as if the ids began a text."""

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        """Return the `count` likeliest next tokens, one after the other."""

    def close(self) -> None:
        """Free what it holds."""


class FolioTool:
    """Folio itself, which computes every form in fp32."""

    def __init__(self, directory: Path, context: int, threads: int) -> None:
        self._network = open_model(directory)
        self._decoding: Any = None

    @property
    def memory(self) -> int:
        return sum(parameter.numel() * parameter.element_size() for parameter in self._network.parameters())

    def logits(self, ids: Sequence[int]) -> NDArray[Any]:
        import torch

        device = next(self._network.parameters()).device
        with torch.no_grad():
            found = self._network.logits({"tokens": torch.tensor([list(ids)], device=device)})[0]
        return found[:, : self._network.vocab_size].float().cpu().numpy()

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        self._decoding = self._decoding or self._network.decoding()
        return list(generate(self._decoding, ids, SamplingConfig(max_new_tokens=count)))

    def close(self) -> None:
        del self._network, self._decoding


class TransformersTool:
    """transformers, on the CPU, with the weights in the type that it loads them in."""

    def __init__(self, directory: Path, context: int, threads: int) -> None:
        try:
            from transformers import AutoModelForCausalLM
        except ImportError:
            raise ModelError(f"{directory} is run in transformers, which is not installed: pip install -e '.[compressed]'") from None
        with quiet():
            self._model = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True).eval()
            self.logits([0])  # the first use expands the weights

    @property
    def memory(self) -> int:
        held = [*self._model.parameters(), *self._model.buffers()]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    def logits(self, ids: Sequence[int]) -> NDArray[Any]:
        import torch

        with torch.no_grad():
            found: NDArray[Any] = self._model(torch.tensor([list(ids)])).logits[0].float().numpy()
        return found

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        import torch

        given = torch.tensor([list(ids)])
        with torch.no_grad():
            written = self._model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=count, min_new_tokens=count,
                                           do_sample=False, pad_token_id=0)  # fmt: skip
        return [int(token) for token in written[0, len(ids) :]]

    def close(self) -> None:
        del self._model


def _llama_cpp(directory: Path, context: int, threads: int) -> Tool:
    (file,) = sorted(directory.glob("*.gguf"))
    return LlamaCpp(file, context, threads=threads)


TOOLS: Mapping[str, Callable[[Path, int, int], Tool]] = {
    "folio": FolioTool, "transformers": TransformersTool, "llama.cpp": _llama_cpp, "onnxruntime": OnnxRuntime,
}  # fmt: skip


def tool_of(directory: Path) -> str:
    """Return the name of the tool that users run a directory in."""
    quantizer = quantizer_of(directory)
    return "folio" if quantizer is None else quantizer.runs_in


def open_tool(directory: Path, context: int, threads: int) -> Tool:
    """Open a model directory in the tool that its users run it in. Raise ModelError where that is not installed."""
    return TOOLS[tool_of(directory)](directory, context, threads)

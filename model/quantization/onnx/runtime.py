"""An ONNX graph of a language model, opened in onnxruntime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.networks.directory import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRAPH = "model.onnx"
IDS, LOGITS = "input_ids", "logits"  # names of what the graph is given and gives
LEAST = 2  # tokens that the graph reads at once; fewer are filled up, which changes nothing before


class OnnxRuntime:
    """The graph in a directory. It keeps no state: each token that is written costs a pass over the whole text."""

    def __init__(self, directory: Path, context: int, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ModelError(f"{directory} is run in onnxruntime, which is not installed: pip install 'folio[onnx]'") from None
        path = directory / GRAPH
        if not path.is_file():
            raise ModelError(f"{path} does not exist: {directory} has a configuration but no graph")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads, settings.log_severity_level = threads, 1, 3
        self._bytes = path.stat().st_size
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own classes have no common parent but this
            raise ModelError(f"onnxruntime does not open {path}: {str(error).splitlines()[0]}") from error

    @property
    def memory(self) -> int:
        """Bytes of the graph, nearly all of them weights."""
        return self._bytes

    def logits(self, ids: Sequence[int]) -> NDArray[Any]:
        """Return logits [tokens, vocabulary] of a text."""
        logits_TV: NDArray[Any] = self.batch([list(ids)])[0]
        return logits_TV

    def batch(self, rows: Sequence[Sequence[int]]) -> NDArray[Any]:
        """Return logits [rows, tokens, vocabulary] of texts of one length."""
        import numpy as np

        length = len(rows[0])
        filled = np.array([[*row, *[0] * (LEAST - length)] for row in rows], dtype=np.int64)
        found: NDArray[Any] = self._session.run([LOGITS], {IDS: filled})[0]
        return found[:, :length]

    def greedy(self, ids: Sequence[int], count: int) -> list[int]:
        """Return the `count` likeliest next tokens, one after the other."""
        written: list[int] = []
        for _ in range(count):
            written.append(int(self.logits([*ids, *written])[-1].argmax()))
        return written

    def close(self) -> None:
        """Free the memory."""
        self._session = None

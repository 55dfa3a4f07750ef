"""Writes a model as one ONNX graph in fp32, and reads its weights back.

The graph is that of the class of transformers which computes the model, as torch.onnx exports it: token ids [rows, tokens] to logits, of
any number of rows and tokens up to the context. Weights keep the class's names, and the exporter's notes of the machine that it ran on are
taken out. Before `write` returns, the graph has been run in onnxruntime beside the model. Memory: the weights three times."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.directory import WEIGHTS, ModelError, load_model, read_config
from model.networks.meta import fill, meta_network
from model.quantization.compressed.quantizer import quiet
from model.quantization.protocol import Use, write_quantization

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.networks.base import NetworkBase
    from model.networks.network import Network

GRAPH = "model.onnx"
IDS, LOGITS = "input_ids", "logits"  # names of what the graph is given and gives
LEAST = 2  # tokens that the graph reads at once; fewer are filled up, which changes nothing before


class OnnxRuntime:
    """The graph in a directory. It keeps no state: each token that is written costs a pass over the whole text."""

    def __init__(self, directory: Path, context: int, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ModelError(f"{directory} is run in onnxruntime, which is not installed: pip install -e '.[onnx]'") from None
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


OPSET = 18
INSTALL = "kind=onnx needs {library}: pip install -e '.[onnx]', or leave the variant out"
LARGEST = 2_000_000_000  # bytes; a graph of one file ends there
NEAR = 1e-4  # largest difference of a logit, as a share of the largest logit where that is above 1
INNER = "model."  # before the class's names of weights, since the graph is of a module around it


@dataclass(frozen=True)
class OnnxQuantizer:
    """One graph with its weights. A `Quantizer`, though nothing is rounded."""

    label: ClassVar[str] = "ONNX"
    files: ClassVar[tuple[str, ...]] = (GRAPH,)
    opened_by: ClassVar[tuple[str, ...]] = ("folio", "onnxruntime")
    runs_in: ClassVar[str] = "onnxruntime"

    def uses(self, folder: str) -> tuple[Use, ...]:
        """Return how onnxruntime writes with the graph."""
        python = (
            "import numpy, onnxruntime\nfrom tokenizers import Tokenizer\n\n"
            f'tokenizer, session = Tokenizer.from_file("tokenizer.json"), onnxruntime.InferenceSession("{folder}/{GRAPH}")\n'
            'ids = tokenizer.encode("Once upon a time").ids\nfor _ in range(8):\n'
            f'    logits = session.run(["{LOGITS}"], {{"{IDS}": numpy.array([ids])}})[0]\n'
            "    ids.append(int(logits[0, -1].argmax()))\nprint(tokenizer.decode(ids))"
        )
        return (Use("onnxruntime", "python", python),)

    def write(self, model_dir: Path, output: Path, rows: Path | None, tokenizer: Path | None) -> dict[str, float]:
        """Write the graph of `model_dir` into `output` and return its metrics. Rows and tokenizer are not used.

        Metrics: parameters (count), bytes_before and bytes_after (of the weight files), size_ratio, bits_per_weight, error_max (0: weights
        are not rounded) and logits_difference (largest, between onnxruntime and folio). Raise ModelError without the libraries, for a model
        that no class of transformers computes, one above 2 GB, and logits that differ.
        """
        network = load_model(model_dir)
        form = network.config.hub_form()
        if form is None or unexported(network.config):
            raise ModelError(f"{model_dir}: {unexported(network.config)}")
        parameters = sum(parameter.numel() for parameter in network.parameters())
        if 4 * parameters > LARGEST:
            raise ModelError(f"{model_dir} has {4 * parameters / 1e9:.1f} GB of weights, and an ONNX file ends at 2; leave the variant out")
        output.mkdir(parents=True, exist_ok=True)
        with quiet(), _unlogged():
            _export(model_dir, form.fields(network.vocab_size), network.config.context, output / GRAPH)
        difference = _difference(network, output)
        write_quantization(model_dir, output, {"format": "onnx", "opset": OPSET})
        stored = self.load(output).state_dict()
        error = max(float((stored[name] - weight).abs().max()) for name, weight in network.state_dict().items())
        before, after = (model_dir / WEIGHTS).stat().st_size, (output / GRAPH).stat().st_size
        return {
            "parameters": float(parameters),
            "bits_per_weight": 8.0 * after / parameters,
            "error_max": error,
            "logits_difference": difference,
            "bytes_before": float(before),
            "bytes_after": float(after),
            "size_ratio": after / before,
        }

    def load(self, directory: Path) -> Network:
        """Load the network of a directory from the weights in its graph; raise ModelError if its files do not match."""
        path = Path(directory) / GRAPH
        if not path.is_file():
            raise ModelError(f"{path} does not exist: {directory} has a configuration but no weights")
        config, vocab_size = read_config(directory)
        form, network = config.hub_form(), meta_network(config, vocab_size)
        if form is None:
            raise ModelError(f"{directory} names no class of transformers; make the variant again")
        stored = _weights(path)
        wanted = form.to_hub(network.state_dict())
        missing = sorted(set(wanted) - stored.keys())
        # The exporter keeps one name of a tied matrix, which may be the head's.
        if len(missing) == 1 and (copies := [name for name in network.tied_names() if name in stored]):
            stored[missing.pop()] = stored[copies[0]]
        if missing:
            raise ModelError(f"{path} lacks {missing[0]}: it does not match the config.json beside it")
        try:
            fill(network, form.from_hub({name: stored[name] for name in wanted}))
        except RuntimeError as error:
            raise ModelError(f"{path} does not match the config.json beside it: {error}") from error
        return network.eval()


def unexported(network: NetworkBase) -> str:
    """Return why no graph can be made of a network, and the way out; empty if one can."""
    form = network.hub_form()
    why = network.hub_refusal() if form is None else "" if form.exact else f"{form.hub.NAME} holds other weights than the model"
    if not why and "generation" not in network.SUPPORTS:
        why = f"kind={network.kind} is none that continues a text"
    if not why and network.mixes_experts:
        why = "how many tokens each of its experts gets is known only as it computes, which the graph would hold fixed"
    return f"the graph is that of a class of transformers, and {why}; leave the variant out" if why else ""


def _export(model_dir: Path, fields: dict[str, Any], context: int, path: Path) -> None:
    """Write the graph of a model directory that transformers opens."""
    try:
        import onnx
        import onnxscript  # noqa: F401  # the exporter writes by it
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise ModelError(INSTALL.format(library=error.name)) from None
    import torch
    from torch import Tensor, nn

    class Logits(nn.Module):
        """Token ids to logits, with no state kept."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Tensor) -> Tensor:
            # With a mask of its own the class does not look for packed texts, which would stand in the graph.
            logits: Tensor = self.model(input_ids=input_ids, attention_mask=torch.ones_like(input_ids), use_cache=False).logits
            return logits

    model = AutoModelForCausalLM.from_pretrained(model_dir, local_files_only=True, dtype=torch.float32, attn_implementation="eager")
    rows, tokens = torch.export.Dim("rows", max=1024), torch.export.Dim("tokens", max=context)
    example = torch.arange(2 * min(context, 8)).view(2, -1) % int(fields["vocab_size"])
    # Not optimized: weights keep their names, and onnxruntime optimizes as it opens the graph.
    torch.onnx.export(
        Logits(model.eval()), (example,), str(path), input_names=[IDS], output_names=[LOGITS], opset_version=OPSET, dynamo=True,
        dynamic_shapes={"input_ids": {0: rows, 1: tokens}}, optimize=False, external_data=False, verbose=False,
    )  # fmt: skip
    graph = onnx.load(str(path))
    body = graph.graph
    inner = [part for function in graph.functions for part in (*function.node, *function.value_info)]
    for part in (graph, body, *body.node, *body.value_info, *body.input, *body.output, *body.initializer, *graph.functions, *inner):
        del part.metadata_props[:]  # lines and folders of the machine that wrote it
        part.doc_string = ""
    onnx.save(graph, str(path))


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the exporter's warnings, of libraries that a language model has no use for, out of the log."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _difference(network: Network, directory: Path) -> float:
    """Return the largest difference of a logit between onnxruntime and folio, over texts of several lengths; refuse one above NEAR."""
    import torch

    context, found = network.config.context, 0.0
    session = OnnxRuntime(directory, context, 1)
    for rows, length in ((1, 1), (1, LEAST), (3, min(7, context)), (2, context)):
        tokens_BT = torch.randint(network.vocab_size, (rows, length), generator=torch.Generator().manual_seed(length))
        with torch.no_grad():
            ours_BTV = network.logits({"tokens": tokens_BT})
        theirs_BTV = torch.from_numpy(session.batch(tokens_BT.tolist()))
        difference = float((ours_BTV - theirs_BTV).abs().max())
        if not difference <= NEAR * max(1.0, float(ours_BTV.abs().max())):
            said = f"{directory / GRAPH}: logits of {length} tokens differ by {difference:.2g} in onnxruntime; leave the variant out"
            raise ModelError(said)
        found = max(found, difference)
    session.close()
    return found


def _weights(path: Path) -> dict[str, Any]:
    """Return the weights in a graph, under the names of the class of transformers."""
    try:
        import onnx
    except ImportError:
        raise ModelError(INSTALL.format(library="onnx")) from None
    import torch
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf's own classes
        raise ModelError(f"{path} is not an ONNX graph: {error}") from error
    stored = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    return {name.removeprefix(INNER): tensor for name, tensor in stored.items() if name.startswith(INNER)}

"""Writes a model as one GGUF file, and reads it back as a network in fp32.

Matrices are rounded in blocks by the library `gguf`, whose bytes are those of llama.cpp; the K-quants by llama.cpp itself. Vectors and
learned positions stay fp32. The same model, tokenizer and settings give the same bytes. The file is read back and compared before `write`
returns. `load` computes in fp32 with the stored weights; llama.cpp also rounds the inputs of a matrix, which `tool` measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from model.networks.base import NetworkBase
from model.networks.directory import WEIGHTS, ModelError, load_model, read_config
from model.networks.meta import fill, meta_network
from model.opening.gguf.files import GgufHeader
from model.quantization.gguf.architectures import Architecture, architecture_of
from model.quantization.gguf.llama_cpp import round_by_llama_cpp
from model.quantization.gguf.vocabulary import MODELFILE, write_modelfile, write_vocabulary
from model.quantization.protocol import Use, write_quantization

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from torch import Tensor

    from model.networks.config import DecoderConfig
    from model.networks.hub.protocol import HubForm
    from model.networks.network import Network

LOOKED_UP = ("token_embd.weight", "output.weight")
UNROUNDED = ("position_embd.weight",)  # added to fp32 vectors in llama.cpp, which wants them so
INSTALL = "kind=gguf needs {library}: pip install -e '.[gguf]', or leave the variant out"


@dataclass(frozen=True)
class GgufQuantizer:
    """A GGUF file whose matrices are of `type`. `embeddings`: the type of token embeddings and head; empty: the same."""

    type: str
    embeddings: str = ""
    opened_by: ClassVar[tuple[str, ...]] = ("folio", "llama.cpp", "Ollama", "LM Studio")
    runs_in: ClassVar[str] = "llama.cpp"

    def uses(self, folder: str) -> tuple[Use, ...]:
        """Return how llama.cpp's server, its Python library and Ollama use the file."""
        python = (
            f'from llama_cpp_py_sync import Llama\n\nmodel = Llama("{folder}/{self.file}")\n'
            'messages = [{"role": "user", "content": "Who are you?"}]\n'
            "print(model.create_chat_completion(messages, max_tokens=32, temperature=0))"
        )
        return (
            Use("llama.cpp", "sh", f"llama-server -m {folder}/{self.file}"),
            Use("llama.cpp from Python", "python", python),
            Use("Ollama", "sh", f"ollama create {folder} -f {folder}/{MODELFILE}"),
        )

    @property
    def label(self) -> str:
        """The type, as model hubs show it."""
        return f"GGUF {self.type}"

    @property
    def file(self) -> str:
        """Name of the one file of weights."""
        return f"model-{self.type}.gguf"

    @property
    def files(self) -> tuple[str, ...]:
        """The file of weights, and Ollama's description of how to use it."""
        return (self.file, MODELFILE)

    def write(self, model_dir: Path, output: Path, rows: Path | None, tokenizer: Path | None) -> dict[str, float]:
        """Write the model of `model_dir` into `output` with its tokenizer, and return its metrics. Rows are not used.

        Metrics: parameters and quantized_parameters (count; matrices below 16 bits), bytes_before and bytes_after (of the weight files),
        size_ratio, bits_per_weight, error_max (largest absolute error of a weight), error_relative (mean over rounded matrices of
        |error| / |weight|, Frobenius norms). Raise ModelError for what llama.cpp does not compute.
        """
        if tokenizer is None:
            raise ValueError("a GGUF file holds its tokenizer, and none was given")
        network = load_model(model_dir)
        form = network.config.hub_form()
        architecture = architecture_of(form, model_dir)
        assert form is not None
        output.mkdir(parents=True, exist_ok=True)
        named = self._named(network, form, architecture)
        metrics = self._write_file(named, form.config, network.vocab_size, architecture, tokenizer, output / self.file)
        write_modelfile(tokenizer, output, self.file, form.config.context)
        entry = {"format": "gguf", "type": self.type, "embeddings": self.embeddings, "architecture": architecture.name}
        write_quantization(model_dir, output, entry)
        before, after = (model_dir / WEIGHTS).stat().st_size, (output / self.file).stat().st_size
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return {
            "parameters": float(parameters),
            "bits_per_weight": 8 * metrics.pop("bytes_of_tensors") / parameters,
            **metrics,
            "bytes_before": float(before),
            "bytes_after": float(after),
            "size_ratio": after / before,
        }

    def load(self, directory: Path) -> Network:
        """Load the network of a directory, its weights expanded to fp32; raise ModelError if its files do not match."""
        path = Path(directory) / self.file
        if not path.is_file():
            raise ModelError(f"{path} does not exist: {directory} has a configuration but no weights")
        config, vocab_size = read_config(directory)
        network = meta_network(config, vocab_size)
        form = config.hub_form()
        architecture = architecture_of(form, directory)
        assert form is not None
        stored = read_tensors(path)
        names = {theirs: gguf_name(theirs, architecture, config) for theirs in form.to_hub(network.state_dict())}
        if missing := sorted(set(names.values()) - stored.keys()):
            raise ModelError(f"{path} lacks {missing[0]}: it does not match the config.json beside it")
        hub = architecture.from_gguf({theirs: stored[name] for theirs, name in names.items()}, form.config)
        try:
            fill(network, form.from_hub(hub))
        except RuntimeError as error:
            raise ModelError(f"{path} does not match the config.json beside it: {error}") from error
        return network.eval()

    def _named(self, network: Network, form: HubForm, architecture: Architecture) -> dict[str, Any]:
        tensors = architecture.to_gguf(form.to_hub(network.state_dict()), form.config)
        return {gguf_name(name, architecture, network.config): tensor.contiguous().numpy() for name, tensor in tensors.items()}

    def _write_file(
        self, named: Mapping[str, Any], config: DecoderConfig, vocab_size: int, architecture: Architecture, tokenizer: Path, path: Path
    ) -> dict[str, float]:
        """Write the file, in one step or by way of one in fp32 that llama.cpp rounds; return what rounding did."""
        import numpy as np

        mixed = "_K" in self.type
        whole = path.with_suffix(".f32") if mixed else path
        writer = library().GGUFWriter(whole, architecture.name)
        _write_shape(writer, config, vocab_size, architecture)
        write_vocabulary(writer, tokenizer, vocab_size)
        _write_types(writer, "F32" if mixed else self.type)
        for name, weight in named.items():
            if not np.isfinite(weight).all():
                raise ValueError(f"{name} holds NaN or infinity and cannot be quantized")
            _add(writer, name, weight, "F32" if mixed else self._type_of(name, weight.shape))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        if mixed:
            round_by_llama_cpp(whole, path, self.type, self._type_of(LOOKED_UP[0], (config.width,) * 2))
            whole.unlink()
        return _errors(named, path)

    def _type_of(self, name: str, shape: tuple[int, ...]) -> str:
        """Return how a tensor is stored: vectors and positions as fp32, rows that blocks of 32 do not divide as F16."""
        if len(shape) < 2 or name in UNROUNDED:
            return "F32"
        wanted = (self.embeddings or self.type) if name in LOOKED_UP else self.type
        return wanted if "_" not in wanted or shape[-1] % 32 == 0 else "F16"


def gguf_name(name: str, architecture: Architecture, config: NetworkBase) -> str:
    """Return llama.cpp's name of a tensor of transformers."""
    gguf = library()
    kind = next(kind for kind, known in gguf.MODEL_ARCH_NAMES.items() if known == architecture.name)
    layers = config.layers
    found = gguf.get_tensor_name_map(kind, layers).get_name(name, try_suffixes=(".weight", ".bias"))
    if found is None:
        raise ModelError(f"llama.cpp's architecture {architecture.name} has no place for {name}; leave the variant of kind gguf out")
    return str(found)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a GGUF file by name, as fp32."""
    import torch

    gguf = library()
    return {
        name: torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.kind).astype("float32", copy=True)).reshape(tensor.shape[::-1])
        for name, tensor in GgufHeader(path).tensors().items()
    }


def library() -> Any:
    """Return the library `gguf`; raise ModelError that says how to install it."""
    try:
        import gguf
    except ImportError:
        raise ModelError(INSTALL.format(library="gguf")) from None
    return gguf


def _write_shape(writer: GGUFWriter, config: DecoderConfig, vocab_size: int, architecture: Architecture) -> None:
    from gguf import RopeScalingType

    writer.add_vocab_size(vocab_size)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    (writer.add_layer_norm_eps if architecture.layer_norm else writer.add_layer_norm_rms_eps)(config.norm_epsilon)
    if config.positions == "rope":
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(config.rope_theta)
    if config.positions == "rope" and config.rope_scaling == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_factor)


def _write_types(writer: GGUFWriter, kind: str) -> None:
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    numbers = {file_type.name.removeprefix("MOSTLY_"): int(file_type) for file_type in LlamaFileType}
    writer.add_file_type(0 if kind == "F32" else numbers[kind])
    writer.add_quantization_version(GGML_QUANT_VERSION)


def _add(writer: GGUFWriter, name: str, weight: Any, kind: str) -> None:
    gguf = library()
    found = gguf.GGMLQuantizationType[kind]
    writer.add_tensor(name, gguf.quants.quantize(weight, found), raw_dtype=found)


def _errors(named: Mapping[str, Any], path: Path) -> dict[str, float]:
    """Return metrics of the rounding error, measured on the written file."""
    import torch

    gguf = library()
    stored = GgufHeader(path).tensors()
    kinds, sizes = ({name: tensor.kind for name, tensor in stored.items()}, {name: tensor.data.nbytes for name, tensor in stored.items()})
    back = read_tensors(path)
    largest, relative, rounded = 0.0, [], 0
    for name, weight in named.items():
        difference = (back[name] - torch.from_numpy(weight)).abs()
        largest = max(largest, float(difference.max()))
        if kinds[name] != gguf.GGMLQuantizationType.F32:
            relative.append(float(difference.norm()) / max(float(torch.from_numpy(weight).norm()), 1e-30))
            rounded += weight.size
        elif float(difference.max()):
            raise OSError(f"{path}: {name} reads back changed, so the disk cannot be trusted")
    return {
        "quantized_parameters": float(rounded),
        "bytes_of_tensors": float(sum(sizes.values())),
        "error_max": largest,
        "error_relative": sum(relative) / max(len(relative), 1),
    }

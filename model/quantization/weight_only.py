"""Weight-only rounding: each matrix of a network is stored as integers and scales; norms and biases stay fp32.

Kinds that round one matrix at a time share this file and bring a codec. The same model gives the same bytes. The file is read back and
compared before `write` returns. On loading, weights become fp32 again: the smaller form saves disk and download, speed and memory are
those of the fp32 model, and any loss of quality comes from the rounding alone. Unpacking at each use instead would save the memory, but on
one CPU core it takes 3 to 8 times as long as the rest of a token (INT4, models of 1 to 28 million parameters). PyTorch's kernel for INT8
weights is faster for a few rows of a large matrix and slower for 32, and it rounds inputs and logits to bf16.

The file is deliberately not called `model.safetensors`: a library that does not know the scales must find no weights rather than load
integers as weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from data.shards.model_folder import require_regular
from model.networks.directory import CONFIG, WEIGHTS, ModelError, map_model, read_config
from model.networks.tensor_files import load_tensors
from model.quantization.protocol import Use, write_quantization

if TYPE_CHECKING:
    from torch import Size, Tensor

    from model.networks.network import Network, Role

SCALE = "_scale"
LOOKED_UP: frozenset[Role] = frozenset({"embedding", "head"})


class Codec(Protocol):
    """Rounds one matrix to integers and scales, and back."""

    def encode(self, weight_OI: Tensor) -> tuple[Tensor, Tensor]:
        """Return integers and scales as they are stored. Raise ValueError if the matrix holds NaN or infinity."""

    def decode(self, integers: Tensor, scales: Tensor, shape: Size) -> Tensor:
        """Return the matrix of this shape as fp32. Raise ModelError if the stored tensors do not fit it."""

    def steps(self, scales: Tensor, shape: Size) -> Tensor:
        """Return the distance between neighbouring values of each weight, in a shape that broadcasts to the matrix's."""


@dataclass(frozen=True)
class WeightOnlyQuantizer:
    """A quantizer of matrices. `settings`: the entry of config.json, with `format`; `embeddings`: whether embeddings and head take part."""

    label: str
    file: str
    codec: Codec
    settings: dict[str, Any]
    embeddings: bool
    opened_by: ClassVar[tuple[str, ...]] = ("folio",)
    runs_in: ClassVar[str] = "folio"

    def uses(self, folder: str) -> tuple[Use, ...]:
        """Return nothing: only folio opens it."""
        return ()

    @property
    def files(self) -> tuple[str, ...]:
        """The one file of weights."""
        return (self.file,)

    def write(self, model_dir: Path, output: Path, rows: Path | None, tokenizer: Path | None) -> dict[str, float]:
        """Write the rounded model of `model_dir` into `output` and return its metrics. Neither rows nor tokenizer are used.

        Metrics: parameters and quantized_parameters (count), bytes_before and bytes_after (of the weight files), size_ratio, error_max
        (largest absolute error of a weight), error_max_steps (the same in steps of its scale, at most 0.5), error_relative (mean over
        quantized matrices of |error| / |weight|, Frobenius norms).

        Raise ValueError, with the parameter's name, for weights that are not finite.
        """
        import torch
        from safetensors.torch import load_file, save_file

        network, tensors = map_model(model_dir)
        rounded = {name for name, role in network.roles().items() if role == "matrix" or (role in LOOKED_UP and self.embeddings)}
        stored: dict[str, Tensor] = {}
        errors: list[tuple[float, float, float]] = []
        quantized = 0
        for name, held in tensors.items():
            weight = held.to(torch.float32 if held.is_floating_point() else None).contiguous()
            if name not in rounded:
                stored[name] = weight
                continue
            try:
                stored[name], stored[name + SCALE] = self.codec.encode(weight)
            except ValueError as error:
                raise ValueError(f"{name} in {model_dir}: {error}") from error
            errors.append(self._errors(weight, stored[name], stored[name + SCALE]))
            quantized += weight.numel()
        output.mkdir(parents=True, exist_ok=True)
        save_file(stored, output / self.file, metadata={"format": "pt"})
        write_quantization(model_dir, output, self.settings)
        back = load_file(output / self.file)
        changed = [name for name, tensor in stored.items() if not tensor.equal(back[name])]
        if changed:
            raise OSError(f"{output / self.file}: {changed[0]} reads back changed, so the disk cannot be trusted")
        before = (model_dir / WEIGHTS).stat().st_size
        after = (output / self.file).stat().st_size
        return {
            "parameters": float(sum(parameter.numel() for parameter in network.parameters())),
            "quantized_parameters": float(quantized),
            "bytes_before": float(before),
            "bytes_after": float(after),
            "size_ratio": after / before,
            "error_max": max(error[0] for error in errors),
            "error_max_steps": max(error[1] for error in errors),
            "error_relative": sum(error[2] for error in errors) / len(errors),
        }

    def load(self, directory: Path) -> Network:
        """Load the network of a directory as fp32, on the CPU, in evaluation mode; raise ModelError if its files do not match."""
        from model.networks.meta import fill, meta_network

        path = Path(directory) / self.file
        require_regular(path, lacking=f"{directory} has a configuration but no weights")
        config, vocab_size = read_config(directory)
        network = meta_network(config, vocab_size)
        shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
        try:
            fill(network, self.decode(load_tensors(path), shapes))
        except RuntimeError as error:
            raise ModelError(f"{path} does not match the {CONFIG} beside it: {error}") from error
        return network.eval()

    def decode(self, tensors: Mapping[str, Tensor], shapes: Mapping[str, Size]) -> dict[str, Tensor]:
        """Return fp32 tensors by parameter name; each pair of integers and scales becomes one weight.

        A tensor without a shape is passed on as it is, so that loading it into the network names it as unexpected.
        """
        import torch

        fp32: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            if name.endswith(SCALE):
                continue
            if tensor.is_floating_point() or name not in shapes:
                fp32[name] = tensor.to(torch.float32)
                continue
            scales = tensors.get(name + SCALE)
            if scales is None:
                raise ModelError(f"{self.file} holds {name} as integers without {name + SCALE}; quantize the model again")
            fp32[name] = self.codec.decode(tensor, scales, shapes[name])
        return fp32

    def _errors(self, weight: Tensor, integers: Tensor, scales: Tensor) -> tuple[float, float, float]:
        """Return (largest error, largest error in steps, relative error) of one matrix."""
        # Weights stored as zeros have step 0; they are left out of the steps, and the clamp only avoids dividing by it.
        difference = (self.codec.decode(integers, scales, weight.shape) - weight).abs()
        step = self.codec.steps(scales, weight.shape).expand_as(weight)
        steps = (difference / step.clamp_min(1e-38))[step > 0]
        norm = float(weight.norm())
        relative = float(difference.norm()) / norm if norm else 0.0
        return float(difference.max()), float(steps.max()) if steps.numel() else 0.0, relative


def finite_fp32(weight: Tensor) -> Tensor:
    """Return a weight as fp32 on the CPU, row after row; raise ValueError if it holds NaN or infinity."""
    import torch

    weight = weight.detach().to("cpu", torch.float32).contiguous()
    if not bool(torch.isfinite(weight).all()):
        raise ValueError(f"a weight of shape {tuple(weight.shape)} holds NaN or infinity and cannot be quantized")
    return weight

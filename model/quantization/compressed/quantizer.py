"""Writes a model in the format compressed-tensors by llmcompressor, and reads it back as a network in fp32.

The same model, rows and settings give the same bytes for the same number of threads. Calibration reads whole packed rows, whose documents
see each other there; `calibration.json` says which rows. transformers opens the directory directly; `load` lets it expand the weights, so
folio computes with the stored weights and with inputs that are not rounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from data.shards.reader import ShardReader
from model.hardware.waiting import watch
from model.networks.directory import CONFIG, WEIGHTS, ModelError, load_model, read_config
from model.networks.meta import fill, meta_network
from model.quantization.protocol import Use, write_quantization

if TYPE_CHECKING:
    from model.networks.network import Network
    from model.quantization.compressed.config import CompressedConfig

CALIBRATION = "calibration.json"
INSTALL = "a variant in the format compressed-tensors needs {missing}: pip install -e '.[compressed]', or leave it out"


@dataclass(frozen=True)
class CompressedQuantizer:
    """A directory of transformers whose linear layers are stored as `config` says."""

    config: CompressedConfig
    opened_by: ClassVar[tuple[str, ...]] = ("folio", "transformers", "vLLM")
    runs_in: ClassVar[str] = "transformers"

    def uses(self, folder: str) -> tuple[Use, ...]:
        """Return how transformers and vLLM use the directory."""
        python = (
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            f'tokenizer, model = AutoTokenizer.from_pretrained("{folder}"), AutoModelForCausalLM.from_pretrained("{folder}")\n'
            'ids = tokenizer("Once", return_tensors="pt").input_ids\n'
            "print(tokenizer.decode(model.generate(ids, max_new_tokens=8)[0]))"
        )
        return (Use("transformers", "python", python), Use("vLLM", "sh", f"vllm serve {folder}"))

    @property
    def label(self) -> str:
        """Its name in the model card."""
        return self.config.LABEL

    @property
    def files(self) -> tuple[str, ...]:
        """Weights as transformers names them, and the calibration rows where there are any."""
        return (WEIGHTS, CALIBRATION) if self.config.CALIBRATES else (WEIGHTS,)

    def write(self, model_dir: Path, output: Path, rows: Path | None, tokenizer: Path | None) -> dict[str, float]:
        """Write the quantized model of `model_dir` into `output`, calibrated on `rows`, and return its metrics.

        Metrics: parameters and quantized_parameters (count), bytes_before and bytes_after (of the weight files), size_ratio,
        bits_per_weight, calibration_rows (count; 0: not calibrated), and error_max and error_relative where weights keep their scale.
        Raise ModelError without the library.
        """
        watch()
        network = load_model(model_dir)
        if why := self.config.refusal(network.config, ""):
            raise ModelError(f"{model_dir}: {why}")
        output.mkdir(parents=True, exist_ok=True)
        with quiet():
            made, used = self._compress(model_dir, rows, tokenizer)
            made.save_pretrained(output, save_compressed=True)
        theirs = json.loads((output / CONFIG).read_text(encoding="utf-8"))
        for name in ("recipe.yaml", "generation_config.json"):
            (output / name).unlink(missing_ok=True)
        if self.config.CALIBRATES:
            (output / CALIBRATION).write_text(json.dumps({"split": "train", "rows": used}) + "\n", encoding="utf-8")
        entry = {"format": self.config.FORMAT, **self.config.settings()}
        write_quantization(model_dir, output, entry, quantization_config=theirs["quantization_config"])
        before, after = (model_dir / WEIGHTS).stat().st_size, (output / WEIGHTS).stat().st_size
        errors = {} if self.config.RESCALES else _errors(network, self.load(output))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return {
            "parameters": float(parameters),
            "bits_per_weight": 8.0 * after / parameters,
            "calibration_rows": float(len(used)),
            **errors,
            "bytes_before": float(before),
            "bytes_after": float(after),
            "size_ratio": after / before,
        }

    def load(self, directory: Path) -> Network:
        """Load the network of a directory, its weights expanded to fp32; raise ModelError if its files do not match."""
        path = Path(directory) / WEIGHTS
        if not path.is_file():
            raise ModelError(f"{path} does not exist: {directory} has a configuration but no weights")
        config, vocab_size = read_config(directory)
        form, network = config.hub_form(), meta_network(config, vocab_size)
        if form is None:
            raise ModelError(f"{directory} names no class of transformers; quantize the model again")
        tensors = _expanded(directory)
        names = form.to_hub(network.state_dict())
        if missing := sorted(set(names) - tensors.keys()):
            raise ModelError(f"{path} lacks {missing[0]}: it does not match the {CONFIG} beside it")
        try:
            fill(network, form.from_hub({name: tensors[name].float() for name in names}))
        except RuntimeError as error:
            raise ModelError(f"{path} does not match the {CONFIG} beside it: {error}") from error
        return network.eval()

    def _compress(self, model_dir: Path, rows: Path | None, tokenizer: Path | None) -> tuple[Any, list[int]]:
        """Return transformers' model, quantized, and the calibration rows."""
        try:
            # Within the silence, since its log goes to what is the terminal while it is imported.
            from datasets import Dataset
            from llmcompressor import oneshot
            from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
        except ImportError as error:
            raise ModelError(INSTALL.format(missing=error.name)) from None
        model = AutoModelForCausalLM.from_pretrained(model_dir, local_files_only=True)
        if not self.config.CALIBRATES:
            oneshot(model=model, recipe=self.config.steps())
            return model, []
        if rows is None or tokenizer is None:
            raise ValueError(f"kind={self.config.LABEL.lower()} is calibrated on training rows, and none were given")
        used, tokens = _sample(rows, self.config)
        oneshot(
            model=model,
            dataset=Dataset.from_dict({"input_ids": tokens}),
            recipe=self.config.steps(),
            max_seq_length=len(tokens[0]),
            num_calibration_samples=len(tokens),
            shuffle_calibration_samples=False,
            processor=PreTrainedTokenizerFast(tokenizer_file=str(tokenizer / "tokenizer.json"), pad_token="<|pad|>"),
        )
        return model, used


def _sample(rows: Path, config: Any) -> tuple[list[int], list[list[int]]]:
    """Return the numbers of the calibration rows, and their tokens."""
    import numpy as np

    reader = ShardReader(rows)
    count = min(config.samples, len(reader))
    used = sorted(np.random.default_rng(config.seed).choice(len(reader), count, replace=False).tolist())
    return used, reader.rows(used)["tokens"][:, :-1].tolist()


def _expanded(directory: Path) -> dict[str, Any]:
    """Return the tensors of a directory as transformers computes with them."""
    try:
        from transformers import AutoModelForCausalLM, CompressedTensorsConfig
    except ImportError as error:
        raise ModelError(INSTALL.format(missing=error.name)) from None
    try:
        with quiet():
            dequantized = CompressedTensorsConfig(dequantize=True)
            model = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True, quantization_config=dequantized)
    except (OSError, ImportError) as error:
        raise ModelError(f"transformers does not open {directory}: {error}") from error
    return dict(model.state_dict())


def _errors(network: Network, back: Network) -> dict[str, float]:
    largest, relative, rounded, stored = 0.0, [], 0, back.state_dict()
    for name, weight in network.state_dict().items():
        difference = (stored[name] - weight).abs()
        largest = max(largest, float(difference.max()))
        if weight.dim() == 2 and bool(difference.any()):
            relative.append(float(difference.norm()) / max(float(weight.norm()), 1e-30))
            rounded += weight.numel()
    return {"quantized_parameters": float(rounded), "error_max": largest, "error_relative": sum(relative) / max(len(relative), 1)}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' log and bars from the terminal, and their tensors out of pinned memory, which a CPU has not."""
    import os
    import warnings
    from contextlib import redirect_stderr, redirect_stdout

    import torch

    pin = torch.Tensor.pin_memory
    if not torch.cuda.is_available():
        torch.Tensor.pin_memory = lambda self, *_, **__: self  # type: ignore[method-assign]
    try:
        with Path(os.devnull).open("w") as silence, warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.Tensor.pin_memory = pin  # type: ignore[method-assign]

"""The interface of an adapter; no other file asks which kind it is.

An adapter decides which weights of a network are trained. Low-rank ones add a few parameters and freeze the rest, so optimizer and
checkpoints hold only those few, and the original model needs no second copy. A kind is a config, tagged by `kind`,
that builds its adapter. To add a kind, write its config and list it in `config.py`. Cheap to import: no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from pydantic import BaseModel

from model.networks.tensor_files import LazyTensors, load_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.directory import Hold
    from model.networks.network import Network

FOLDER = "adapter"  # in a model directory, next to the merged weights
FEATURES = ("tensor", "pipeline", "zero_3", "fp8")


class AdapterError(ValueError):
    """This network can't be adapted as configured."""


def running_statistics(network: Network) -> list[str]:
    """Return the names of what training changes of a network beside its parameters; experts' biases only move where all weights do."""
    trained = {name for name, _ in network.named_parameters()}
    return sorted(name for name in network.state_dict().keys() - trained if not name.endswith(".e_score_correction_bias"))


class Adapter(Protocol):
    """Decides which weights of a network are trained. It holds no tensors: they are the network's."""

    def check(self, network: Network) -> None:
        """Raise AdapterError unless the network, which may be on the meta device, has what the settings name."""

    def inject(self, network: Network, seed: int) -> None:
        """Add the adapter's parameters and freeze all others; what the network computes stays the same where the kind can start so.

        Random initial values depend on the seed and the parameter's name alone. Raise AdapterError if the network has nothing to adapt.
        """

    def disabled(self, network: Network) -> AbstractContextManager[None]:
        """Inside, the network computes what it did before `inject`, without gradients. Only where `KEEPS_BASE`."""

    def kept(self, network: Network) -> LazyTensors:
        """Return what `merged` needs besides the network's parameters, on the CPU: weights that are held in another form."""

    def merged(self, tensors: Mapping[str, Tensor]) -> LazyTensors:
        """Return the network's whole weights under its own names, from `kept` and whole tensors named as after `inject`.

        A weight that the adapter changes is made when it is asked for. Of a kind that does not merge these are the weights from before
        training.
        """

    def own(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the adapter's tensors from the network's, named as in the adapter's file; empty if it adds none."""

    def restore(self, network: Network, own: Mapping[str, Tensor]) -> None:
        """Give a network with the weights from before training the adapter that `own` returned: merged, or as it is if it can't be.

        Raise AdapterError unless it fits the network.
        """

    def save(self, own: Mapping[str, Tensor], directory: Path) -> None:
        """Write what `own` returned into `directory`, creating it; write nothing if the adapter adds no parameter."""


class AdapterBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings of an adapter, as a recipe gives them. A kind adds `kind` and its own."""

    LIBRARIES: ClassVar[tuple[str, ...]] = ()
    """Packages beyond folio's own that it needs."""
    KEEPS_BASE: ClassVar[bool] = False
    """Whether training leaves the network's own weights as they are, but for rounding that the kind names.

    Then they must come from a model, and `disabled` shows it again.
    """

    PEFT_LOADS: ClassVar[bool] = False
    """Whether peft computes the same from the saved file and the unchanged model."""
    MERGES: ClassVar[bool] = True
    """Whether what it learns becomes part of the weights; if not, the model directory holds it apart and only folio opens that."""

    def supports(self) -> frozenset[str]:
        """Return which of `FEATURES` it works with: tensor and pipeline parallelism, ZeRO 3, matrix products in fp8."""
        return frozenset()

    @property
    def drops(self) -> float:
        """The share of a layer's inputs that it drops in training."""
        return 0.0

    @classmethod
    def from_saved(cls, fields: Mapping[str, Any]) -> Self | None:
        """Return the settings of an adapter that `save` wrote, from its adapter_config.json; None if it is of another kind."""
        return None

    def hold(self) -> Hold | None:
        """Return what holds weights in another form as a network is loaded; None: `inject` finds them as they are."""
        return None

    def build(self) -> Adapter:
        """Return the adapter that these settings describe."""
        raise NotImplementedError

    def missing(self) -> tuple[str, ...]:
        """Return the packages that it needs and that are not installed."""
        return tuple(name for name in self.LIBRARIES if not _is_installed(name))


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


TENSORS, FIELDS = "adapter_model.safetensors", "adapter_config.json"


def write_adapter(own: Mapping[str, Tensor], fields: Mapping[str, Any], directory: Path) -> None:
    """Write an adapter's tensors and settings into `directory`, creating it; the same tensors give the same bytes."""
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    contiguous = {name: own[name].detach().contiguous() for name in sorted(own)}
    save_file(contiguous, directory / TENSORS, metadata={"format": "pt"})
    (directory / FIELDS).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_tensors(directory: Path) -> dict[str, Tensor]:
    """Return the tensors of an adapter's folder."""
    return load_tensors(directory / TENSORS)


def prompt_fields(kind: str, length: int) -> dict[str, Any]:
    """Return the fields of a learned prefix; peft takes the model's sizes from the model."""
    return {
        "peft_type": kind,
        "task_type": "CAUSAL_LM",
        "num_virtual_tokens": length,
        "num_transformer_submodules": 1,
        "num_layers": None,
        "num_attention_heads": None,
        "token_dim": None,
        "inference_mode": True,
    }

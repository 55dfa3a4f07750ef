"""The interface of a transformers class: which networks it computes, and how it writes their settings and weights.

Cheap to import (no torch), since a recipe is checked against it at start-up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from model.layers.config import GATED
from model.networks.base import ModelError, NetworkBase

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.config import DecoderConfig

Config = TypeVar("Config", bound=NetworkBase)

BOTH = (False, True)
LARGEST = 2**31
PLAIN = ("relu", "relu2", "gelu", "gelu_tanh", "silu")
# What classes call the activations without a gate: two names for one approximation of GELU.
PLAIN_NAMES: Mapping[str, str] = {
    **{name: name for name in PLAIN if name != "gelu_tanh"},
    **{"gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"},
}
# What a decoder's setting may be where a class says nothing of its own: a Llama without biases.
USUAL: Mapping[str, tuple[object, ...]] = {
    "attention": ("grouped",),
    "pattern": ("full",),
    "positions": ("rope",),
    "norm": ("rms",),
    "norm_place": ("pre",),
    "activation": GATED,
    "qk_norm": (False,),
    "attention_bias": (False,),
    "feed_forward_bias": (False,),
    "attention_soft_cap": (0.0,),
    "logit_soft_cap": (0.0,),
    "multi_token": (0,),
}


class HubClass(Generic[Config]):
    """A class of transformers. Subclasses fill the tables; what no table can say they say in a method.

    `network(fields(c)) == c` for every config c without differences, and `from_hub(to_hub(weights))` gives the weights: bit by bit where
    `exact`, else to rounding.
    """

    NAME: ClassVar[str]
    MODEL_TYPE: ClassVar[str]
    OPENED_BY: ClassVar[str] = "AutoModelForCausalLM"  # the class of transformers that opens its directories
    CONFIG: ClassVar[str] = "model.networks.config:DecoderConfig"  # the config of the networks that it computes
    USUAL: ClassVar[Mapping[str, tuple[object, ...]]] = USUAL
    COMPUTES: ClassVar[Mapping[str, tuple[object, ...]]] = {}  # of each setting, the values it computes, where they are not the usual
    FIELDS: ClassVar[Mapping[str, str]] = {}  # its fields that map to a setting unchanged
    DEFAULTS: ClassVar[Mapping[str, object]] = {}  # what its fields mean where a file leaves them out
    # Of each setting of a mixture of experts, the values it computes, empty: it has none; then whether it computes networks without, too.
    EXPERTS: ClassVar[Mapping[str, tuple[object, ...]]] = {}
    DENSE: ClassVar[bool] = True
    ALWAYS: ClassVar[Mapping[str, object]] = {}  # its fields that have one value for every decoder
    ACTIVATION: ClassVar[str] = "hidden_act"
    ACTIVATIONS: ClassVar[Mapping[str, str]] = {"silu": "swiglu", "gelu": "geglu"}
    DROPOUTS: ClassVar[tuple[str, ...]] = ("resid_pdrop", "embd_pdrop", "attention_dropout")  # the first is read back
    BUFFERS: ClassVar[str] = r".*\.rotary_emb\.inv_freq"  # names of constants that older files store with the weights

    def exact(self, config: Config) -> bool:
        """Return whether it holds a network's own numbers, or such as give them back bit by bit."""
        return True

    def beyond(self, config: Config) -> int:
        """Return how many tokens behind the vocabulary its tables have."""
        return 0

    def differences(self, config: Config) -> tuple[str, ...]:
        """Return each setting, as key=value, that this class does not compute; empty: it computes the same logits."""
        allowed = {**self.USUAL, **self.COMPUTES}
        chosen: dict[str, Any] = {name: getattr(config, name) for name in allowed}
        differing = [f"{name}={shown(value)}" for name, value in chosen.items() if value not in allowed[name]]
        if config.inputs:
            differing.append(f"inputs={json.dumps([reads.kind for reads in config.inputs])}")
        return (*differing, *self._expert_differences(config), *self.more_differences(config))

    def _expert_differences(self, config: Config) -> Iterator[str]:
        if (experts := getattr(config, "experts", None)) is None:
            if not self.DENSE:
                yield "experts=null"
        elif not self.EXPERTS:
            yield f"experts.count={experts.count}"
        else:
            has = {**dict(experts), "balance": experts.balance.kind}
            yield from (f"experts.{name}={shown(has[name])}" for name, allowed in self.EXPERTS.items() if has[name] not in allowed)

    def more_differences(self, config: Config) -> Iterator[str]:
        """Yield differences that depend on several settings; by default none."""
        yield from ()

    def fields(self, config: Config, vocab_size: int) -> dict[str, Any]:
        """Return config.json of a network without differences; raise ModelError for any other."""
        if differences := self.differences(config):
            raise ModelError(f"not expressible as {self.NAME}, which does not compute {', '.join(differences)}")
        has: dict[str, Any] = dict(config)
        activation = next(theirs for theirs, ours in self.ACTIVATIONS.items() if ours == has["activation"])
        return {
            "architectures": [self.NAME],
            "model_type": self.MODEL_TYPE,
            "vocab_size": vocab_size + self.beyond(config),
            **{theirs: has[ours] for theirs, ours in self.FIELDS.items()},
            "tie_word_embeddings": has["tied_embeddings"],
            self.ACTIVATION: activation,
            **dict.fromkeys(self.DROPOUTS, has["dropout"]),
            **self.ALWAYS,
            **self.more_fields(config),
            # Some classes have ids of their own that a small vocabulary lacks; whoever knows the tokenizer writes the real ones over these.
            **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),
            "torch_dtype": "float32",
        }

    def more_fields(self, config: Config) -> dict[str, Any]:
        """Return the fields that no table gives; by default none."""
        return {}

    def network(self, fields: Mapping[str, Any], where: object) -> Config:
        """Return the network that config.json describes.

        Raise ModelError, naming `where`, for a field that no network here computes, and KeyError for one that is missing.
        """
        known = {**self.DEFAULTS, **{name: value for name, value in fields.items() if value is not None or name not in self.DEFAULTS}}
        for name, value in self.ALWAYS.items():
            require_one_of(where, name, known.get(name), (value,))
        activation = known[self.ACTIVATION]
        require_one_of(where, self.ACTIVATION, activation, tuple(self.ACTIVATIONS))
        settings = {ours: known[theirs] for theirs, ours in self.FIELDS.items()}
        for theirs, ours in self.FIELDS.items():  # before a class computes with them
            if not isinstance(known[theirs], int | float) or abs(known[theirs]) > LARGEST or (ours == "layers" and known[theirs] > 1_000):
                raise ModelError(f"{where}: {theirs} is {known[theirs]!r}, which no network has; fetch the model again")
        settings |= {"tied_embeddings": known["tie_word_embeddings"], "activation": self.ACTIVATIONS[activation]}
        described = {**settings, "dropout": known.get(self.DROPOUTS[0]) or 0.0, **self.more_settings(known, where)}
        config: Config = resolve_name(self.CONFIG).model_validate(described)
        return config

    def more_settings(self, fields: Mapping[str, Any], where: object) -> dict[str, Any]:
        """Return the settings that no table gives; by default none. ModelError for what a network here does not compute."""
        return {}

    def to_hub(self, tensors: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
        """Return a network's tensors under the names, and in the form, of this class; by default they are the same."""
        return dict(tensors)

    def from_hub(self, tensors: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
        """Return tensors of this class as a network's; ModelError if they hold what a network of this config has no place for.

        They come in the precision that the file has, and what is computed of them is computed in fp32.
        """
        return dict(tensors)


@dataclass(frozen=True)
class HubForm:
    """A network in the form of a class of transformers that computes it."""

    hub: HubClass[Any]
    config: Any

    @property
    def exact(self) -> bool:
        """Whether weights come back from the class bit by bit."""
        return self.hub.exact(self.config)

    @property
    def same(self) -> bool:
        """Whether the class has a network's tensors as they are, under the same names."""
        return type(self.hub).to_hub is HubClass.to_hub

    def fields(self, vocab_size: int) -> dict[str, Any]:
        """Return config.json."""
        return self.hub.fields(self.config, vocab_size)

    def to_hub(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the network's tensors as the class has them."""
        return self.hub.to_hub(tensors, self.config)

    def from_hub(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the class's tensors as the network has them."""
        weights = {name: tensor for name, tensor in tensors.items() if not re.fullmatch(self.hub.BUFFERS, name)}
        return self.hub.from_hub(weights, self.config)


def require_one_of(where: object, name: str, value: object, supported: tuple[object, ...]) -> None:
    """Raise ModelError unless a field has a value that a network here computes."""
    if value not in supported:
        raise ModelError(f"{where}: {name} is {value!r}; this network computes only {' or '.join(repr(one) for one in supported)}")


def shared_heads(config: DecoderConfig) -> Iterator[str]:
    """Refuse shared keys and values, for a class whose query heads each have their own."""
    if config.kv_heads != config.heads:
        yield f"kv_heads={config.kv_heads} with heads={config.heads}"


def shown(value: object) -> str:
    """Return a value as a recipe spells it."""
    return value if isinstance(value, str) else json.dumps(value)

"""Every kind of network, as one type: the `model:` section of a recipe, and a field of config.json.

A config is everything that decides how many parameters a network has and what it computes from them; an n-gram model's size follows from
the text that it counts. Cheap to import (no torch), so a recipe can be read at start-up. A shape that cannot be built is refused here, with
the field that is wrong, before anything runs. `hub_form` says which class of transformers computes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from model.layers.config import BlockConfig
from model.layers.mixers.config import AttentionMixer, GatedDeltaMixer, MixerConfig, RecurrenceMixer
from model.networks.base import Ability, Layout, NetworkBase
from model.networks.ngram_config import NgramConfig as NgramConfig


def decoder_layout_problems(config: DecoderConfig, layout: Layout) -> Iterator[str]:
    """Yield what a decoder's norm, heads, positions and biases do not allow."""
    if config.norm == "batch":
        yield from _batch_norm(layout)
    if layout.tensor > 1:
        yield from _tensor_parallel(config, layout)
    if layout.pipeline > 1 and (config.positions in ("learned", "relative") or config.norm == "batch"):
        what = f"positions={config.positions}" if config.norm != "batch" else "norm=batch"
        yield (f"{layout.shape}{what} with {layout.spread}pipeline={layout.pipeline}: its state belongs to no single stage; use pipeline=1")


def _batch_norm(layout: Layout) -> Iterator[str]:
    """Batch norm needs the whole batch at once; otherwise its statistics would depend on how the batch is divided."""
    norm = f"{layout.shape}norm=batch"
    if layout.workers > 1:
        yield f"{norm} with {layout.spread}workers={layout.workers}: each would normalize its own part; use one worker, or another norm"
    if 0 < layout.micro_batch < layout.global_batch:
        yield (
            f"{norm} with micro_batch={layout.micro_batch}: each micro-batch of {layout.section}global_batch={layout.global_batch} "
            "would have its own statistics; set micro_batch=0, or use another norm"
        )
    if layout.batch_warmup_steps:
        steps = f"{layout.section}batch_warmup_steps={layout.batch_warmup_steps}"
        yield f"{norm} with {steps}: its batch can't grow; set 0, or another norm"
    if layout.recompute != "none":
        yield f"{norm} with recompute={layout.recompute}: its statistics would be updated twice; set recompute=none"


def _tensor_parallel(config: DecoderConfig, layout: Layout) -> Iterator[str]:
    shape, tensor = layout.shape, f"{layout.spread}tensor={layout.tensor}"
    for name in ("heads", "kv_heads", "feed_forward"):
        count = getattr(config, name)
        if count % layout.tensor:
            yield f"{shape}{name}={count} is not divisible by {tensor}; choose a multiple, or a divisor of it for tensor"
    plain = {"attention": "grouped", "attention_bias": False, "feed_forward_bias": False}
    if changed := next((f"{name}={getattr(config, name)}" for name, value in plain.items() if getattr(config, name) != value), ""):
        yield f"{shape}{changed} with {tensor}: only plain matrices can be cut; use tensor=1, or its default"
    if config.positions in ("alibi", "relative"):
        yield f"{shape}positions={config.positions} with {tensor}: its parameters per head can't be cut; use tensor=1"


class DecoderShape(BlockConfig, NetworkBase, frozen=True, extra="forbid"):
    """The settings of every network of causal blocks, whatever mixes their tokens."""

    SIZES: ClassVar[tuple[str, ...]] = ("width", "layers", "heads", "kv_heads", "feed_forward")

    logit_soft_cap: float = Field(0.0, ge=0, description="logits become cap x tanh(logit / cap), as in Gemma 2; 0: off")
    tied_embeddings: bool = Field(True, description="compute logits with the token embeddings instead of a second matrix")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial weights; residual outputs get less")
    zero_outputs: bool = Field(
        False,
        description="start with zeros in the matrices whose outputs are added to the residual stream, so blocks start as identity",
    )

    @property
    def mixes_experts(self) -> bool:
        """Whether blocks have experts."""
        return self.experts is not None

    def layout_problems(self, layout: Layout) -> Iterator[str]:
        """Also refuse to cut experts: their router chooses among all of them."""
        yield from super().layout_problems(layout)
        if self.experts is not None:
            experts = f"{layout.shape}experts.count={self.experts.count}"
            if layout.tensor > 1:
                yield f"{experts} with {layout.spread}tensor={layout.tensor}: experts can't be cut; use tensor=1"
            if layout.pipeline > 1:
                yield (
                    f"{experts} with {layout.spread}pipeline={layout.pipeline}: stages hand on hidden vectors alone, not whom experts "
                    "were chosen by; use pipeline=1"
                )

    @classmethod
    def width_step(cls, width: int) -> int:
        """Return a step of whole heads, of which two or four share a key and value head."""
        return _head_width(width) * (2 if width < 768 else 4)

    def resized(self, width: int, layers: int) -> Self:
        """Return the network of another size; everything else stays the same.

        Head width is 32 to 128; two to four query heads share a key and value head; feed-forward is 8/3 of the width (Shazeer 2020), so
        that its three matrices cost as much as two of four times the width. Experts that a token uses are together as wide.
        """
        heads = width // _head_width(width)
        wanted = heads // 4 if heads >= 8 else heads // 2
        shared = max(number for number in range(1, max(1, wanted) + 1) if heads % number == 0)
        used, step = (1, 64) if self.experts is None else (self.experts.used, 16)
        inner = max(step, round(width * 8 / 3 / used / step) * step)
        sizes = {"width": width, "layers": layers, "heads": heads, "kv_heads": shared, "feed_forward": inner, "head_width": 0}
        return type(self)(**{**self.model_dump(), **sizes})


class DecoderConfig(DecoderShape, frozen=True, extra="forbid"):
    """A decoder-only Transformer; by default pre-norm, rotary positions, RMSNorm, SwiGLU, grouped-query attention."""

    BUILT_BY: ClassVar[str] = "model.networks.decoder:Decoder"
    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset({"causal", "generation", "packed", "gradients", "recompute", "tensor", "pipeline"})

    kind: Literal["decoder"] = Field("decoder", description="which network: a decoder-only Transformer")
    multi_token: int = Field(
        0,
        ge=0,
        le=8,
        description="heads that predict the tokens after the next one, one further each, and then draft for generation; count; 0: none",
    )
    prompt: Literal["causal", "bidirectional"] = Field(
        "causal",
        description="what a token of a prompt sees of it: what stands before, or with bidirectional all of it, as pretrain.kind=prefix "
        "teaches; what is written after it is causal",
    )

    @model_validator(mode="after")
    def _heads_can_be_built(self) -> DecoderConfig:
        if self.multi_token and self.norm == "batch":
            raise ValueError(
                f"multi_token={self.multi_token} with norm=batch: statistics would count tokens beyond a document's end; use another norm"
            )
        if self.multi_token and self.experts is not None:
            raise ValueError(
                f"multi_token={self.multi_token} with experts: its heads' blocks would choose experts that nothing counts; leave one out"
            )
        if self.multi_token and self.context < self.multi_token + 2:
            raise ValueError(f"multi_token={self.multi_token} is further ahead than context={self.context} reaches; lower it")
        if self.reads_prompts and self.multi_token:
            raise ValueError(f"multi_token={self.multi_token} with prompt=bidirectional: prompts show its heads what they predict; set 0")
        if self.reads_prompts and (self.pattern != "full" or self.positions in ("alibi", "relative")):
            back = f"pattern={self.pattern}" if self.pattern != "full" else f"positions={self.positions}"
            raise ValueError(f"{back} with prompt=bidirectional: it looks back alone; use another, or prompt=causal")
        return self

    @property
    def reads_prompts(self) -> bool:
        """Whether a prompt's tokens see all of it."""
        return self.prompt == "bidirectional"

    @property
    def whole_batch(self) -> bool:
        """Batch norm's statistics cover all rows of a step."""
        return self.norm == "batch"

    @property
    def heads_ahead(self) -> int:
        """How many heads predict further ahead than the next token."""
        return self.multi_token

    @property
    def alone(self) -> Self:
        """The same network without heads that predict further ahead."""
        return self.model_copy(update={"multi_token": 0})

    def layout_problems(self, layout: Layout) -> Iterator[str]:
        """Yield also what norm, heads, positions and biases do not allow."""
        yield from super().layout_problems(layout)
        yield from decoder_layout_problems(self, layout)
        if self.reads_prompts and layout.pipeline > 1:
            where = f"{layout.shape}prompt=bidirectional with {layout.spread}pipeline={layout.pipeline}"
            yield f"{where}: stages are sent tokens and documents alone; use pipeline=1"
        if self.multi_token and layout.pipeline > 1:
            yield (
                f"{layout.shape}multi_token={self.multi_token} with {layout.spread}pipeline={layout.pipeline}: its heads belong to no "
                "stage; use pipeline=1, or multi_token=0"
            )

    def prefix_refusal(self) -> str:
        """Refuse a prefix where keys are latent, where a pattern would hide it, or where a table or bias gives positions."""
        takes = {"attention": ("grouped",), "positions": ("rope", "none"), "pattern": ("full",), "prompt": ("causal",)}
        wrong = [
            f"{name}={value} (only {' or '.join(known)})" for name, known in takes.items() if (value := getattr(self, name)) not in known
        ]
        return f"nothing can stand before a document with {', '.join(wrong)}" if wrong else ""


class HybridConfig(DecoderShape, frozen=True, extra="forbid"):
    """A decoder whose blocks differ in what mixes their tokens: attention, convolutions, state spaces, delta rules, recurrences."""

    BUILT_BY: ClassVar[str] = "model.networks.hybrid:Hybrid"
    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset({"causal", "generation", "packed", "gradients", "recompute"})

    kind: Literal["hybrid"] = Field("hybrid", description="which network: blocks with token mixers of several kinds")
    mixers: tuple[MixerConfig, ...] = Field(
        (GatedDeltaMixer(), GatedDeltaMixer(), GatedDeltaMixer(), AttentionMixer()),
        min_length=1,
        description="what mixes the tokens of each block, first to last, repeated until all blocks have one",
    )

    @property
    def block_mixers(self) -> tuple[MixerConfig, ...]:
        """The mixer of each block."""
        return tuple(self.mixers[layer % len(self.mixers)] for layer in range(self.layers))

    @property
    def attends(self) -> bool:
        """Whether any block is attention."""
        return any(mixer.ATTENDS for mixer in self.block_mixers)

    @property
    def period(self) -> int:
        """The mixers repeat."""
        return len(self.mixers)

    @property
    def attended(self) -> int:
        """The most tokens that one token is compared with, itself included: those of its chunk, where no block attends."""
        return super().attended if self.attends else min(self.context, max(mixer.compared for mixer in self.block_mixers))

    @model_validator(mode="after")
    def _blocks_can_be_built(self) -> HybridConfig:
        if all(mixer.ATTENDS for mixer in self.mixers):
            raise ValueError("mixers: attention alone is a decoder; set kind: decoder, or name another mixer, too")
        if not self.attends and (unused := next(self._of_attention(), "")):
            raise ValueError(f"{unused} does nothing: no block's mixer is attention; leave it out, or name attention among the mixers")
        if self.norm == "batch" or self.norm_place == "post":
            wrong = "norm=batch" if self.norm == "batch" else "norm_place=post"
            raise ValueError(f"{wrong} with kind=hybrid: its blocks norm each token before each sublayer; use its default")
        for mixer in self.mixers:
            for problem in mixer.problems(self.width):
                raise ValueError(f"mixers: {mixer.kind}: {problem}")
        return self

    def _of_attention(self) -> Iterator[str]:
        """Yield the settings of attention alone that are not their defaults. Numbers of heads may stand: a width decides them."""
        for name in ("attention", "head_width", "attention_bias", "qk_norm", "attention_soft_cap", "pattern", "rope_theta", "rope_scaling"):
            if (value := getattr(self, name)) != type(self).model_fields[name].default:
                yield f"{name}={value}"
        if self.positions in ("alibi", "relative"):
            yield f"positions={self.positions}"

    def layout_problems(self, layout: Layout) -> Iterator[str]:
        """Also refuse recomputation of recurrences under ZeRO 3."""
        yield from super().layout_problems(layout)
        if any(isinstance(mixer, RecurrenceMixer) for mixer in self.block_mixers):
            yield from recurrence_layout_problems(self, layout)


def recurrence_layout_problems(config: NetworkBase, layout: Layout) -> Iterator[str]:
    """Refuse recomputation under ZeRO 3: a recurrence gathers other weights on a worker whose rows hold a single document."""
    if layout.recompute != "none" and layout.zero_stage == 3 and layout.workers > 1:
        yield (
            f"{layout.shape}kind={config.kind} with recompute={layout.recompute} and {layout.spread}zero_stage=3 on "
            f"{layout.spread}workers={layout.workers}: they would exchange different weights; set recompute=none, or zero_stage=2"
        )


def _head_width(width: int) -> int:
    return 32 if width < 512 else 64 if width < 2048 else 128


class EncoderConfig(NetworkBase, frozen=True, extra="forbid"):
    """A bidirectional Transformer encoder: every token sees all of its document, so it fills gaps and cannot continue a text."""

    BUILT_BY: ClassVar[str] = "model.networks.encoder:Encoder"
    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset({"bidirectional", "packed", "gradients", "recompute"})

    SIZES: ClassVar[tuple[str, ...]] = ("width", "layers", "heads", "feed_forward")

    kind: Literal["encoder"] = Field("encoder", description="which network: a bidirectional Transformer encoder")
    heads: int = Field(4, ge=1, description="attention heads; count, divides width into even parts")
    feed_forward: int = Field(
        344, ge=8, description="inner size of the feed-forward; near 8/3 of the width if gated, else 4 times; numbers"
    )
    positions: Literal["rope", "learned", "sinusoidal"] = Field(
        "rope", description="how the order of tokens enters: rotated queries and keys (rope), or an added vector (learned, sinusoidal)"
    )
    norm: Literal["rms", "layer"] = Field("rms", description="of the residual stream: RMSNorm or LayerNorm")
    norm_epsilon: float = Field(1e-5, gt=0, description="added to the mean square before its root; dimensionless")
    activation: Literal["swiglu", "geglu", "relu", "relu2", "gelu", "silu"] = Field(
        "swiglu",
        description="of the feed-forward; swiglu and geglu gate (three matrices), the others have two; relu2 is ReLU squared, GELU exact",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share dropped in training, of embeddings, sublayers' outputs and attention's probabilities"
    )
    tied_embeddings: bool = Field(True, description="compute logits with the token embeddings instead of a second matrix")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial weights; residual outputs get less")
    zero_outputs: bool = Field(
        False,
        description="start with zeros in the matrices whose outputs are added to the residual stream, so blocks start as identity",
    )

    @property
    def layer_config(self) -> BlockConfig:
        """The settings of the layers: pre-norm blocks of multi-head attention and a feed-forward."""
        shared = set(BlockConfig.model_fields).intersection(type(self).model_fields)
        return BlockConfig(kv_heads=self.heads, **{name: getattr(self, name) for name in shared})

    @model_validator(mode="after")
    def _nothing_shows_what_is_hidden(self) -> EncoderConfig:
        if self.inputs:
            kinds = ", ".join(config.kind for config in self.inputs)
            raise ValueError(
                f"inputs={kinds} with kind=encoder: a column beside the tokens would show what the mask hides; leave inputs out"
            )
        return self

    @model_validator(mode="after")
    def _layers_can_be_built(self) -> EncoderConfig:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width={self.width} over heads={self.heads}: each head needs an even number of channels; choose a multiple of "
                f"{2 * self.heads}"
            )
        return self

    @classmethod
    def width_step(cls, width: int) -> int:
        """Return the widest head with which every width has whole heads of an even number of channels."""
        return 64

    def resized(self, width: int, layers: int) -> Self:
        """Return the encoder of another size, with heads of 32 to 64 and a feed-forward of 8/3 of the width."""
        heads = max(1, width // (32 if width < 512 else 64))
        sizes = {"width": width, "layers": layers, "heads": heads, "feed_forward": max(64, round(width * 8 / 3 / 64) * 64)}
        return type(self)(**{**self.model_dump(), **sizes})


class EncoderDecoderConfig(NetworkBase, frozen=True, extra="forbid"):
    """An encoder and a decoder of T5's shape (Raffel et al., 2020): it reads a text with gaps and writes what they hide.

    Unlike T5's, its scores are divided by the root of the head's width and its embeddings begin small, so that AdamW and Muon train it at
    one learning rate for all matrices.
    """

    BUILT_BY: ClassVar[str] = "model.networks.encoder_decoder:EncoderDecoder"
    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset({"infilling", "packed", "gradients", "recompute"})
    SIZES: ClassVar[tuple[str, ...]] = ("width", "layers", "heads", "feed_forward")

    kind: Literal["encoder_decoder"] = Field("encoder_decoder", description="which network: an encoder and a decoder, as T5")
    layers: int = Field(4, ge=1, le=1_000, description="blocks of the encoder, and as many of the decoder; count")
    heads: int = Field(4, ge=1, description="attention heads; count, divides width")
    feed_forward: int = Field(
        344, ge=8, description="inner size of the feed-forward; near 8/3 of the width if gated, else 4 times; numbers"
    )
    relative_buckets: int = Field(
        32, ge=8, description="buckets of distances; half of the encoder's are for later tokens; count, multiple of 4"
    )
    relative_distance: int = Field(128, ge=8, description="distance from which all fall into the last bucket; tokens")
    norm_epsilon: float = Field(1e-6, gt=0, description="added to the mean square before its root; dimensionless")
    activation: Literal["swiglu", "geglu", "relu", "relu2", "gelu", "gelu_tanh", "silu"] = Field(
        "geglu",
        description="of the feed-forward; swiglu and geglu gate (three matrices), the others have two; relu2 is ReLU squared, GELU exact, "
        "or with gelu_tanh by the hyperbolic tangent",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share dropped in training, of embeddings, sublayers' outputs and attention's probabilities"
    )
    tied_embeddings: bool = Field(True, description="compute logits with the token embeddings instead of a second matrix")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial weights; residual outputs get less")
    zero_outputs: bool = Field(
        False,
        description="start with zeros in the matrices whose outputs are added to the residual stream, so blocks start as identity",
    )
    sentinels: int = Field(100, ge=2, le=10_000, description="marks of gaps: one more than a document may have gaps; tokens")

    @property
    def stacks(self) -> int:
        """The encoder's blocks and the decoder's."""
        return 2

    def written(self, length: int) -> int:
        """Return a quarter: 15 % hidden tokens, a sentinel for every three of them, and an end for each document."""
        return max(1, length // 4)

    @property
    def layer_config(self) -> BlockConfig:
        """The settings of the layers: pre-norm blocks of multi-head attention, with a relative bias, and a feed-forward."""
        shared = set(BlockConfig.model_fields).intersection(type(self).model_fields)
        return BlockConfig(kv_heads=self.heads, positions="relative", **{name: getattr(self, name) for name in shared})

    @model_validator(mode="after")
    def _layers_can_be_built(self) -> EncoderDecoderConfig:
        if self.inputs:
            kinds = ", ".join(config.kind for config in self.inputs)
            raise ValueError(
                f"inputs={kinds} with kind={self.kind}: a column beside the tokens would show what the gaps hide; leave inputs out"
            )
        if self.width % self.heads:
            raise ValueError(f"width={self.width} over heads={self.heads}: each head needs a whole number; choose a multiple")
        if self.relative_buckets % 4 or self.relative_distance <= self.relative_buckets // 2:
            raise ValueError(
                f"relative_buckets={self.relative_buckets} and relative_distance={self.relative_distance}: choose a multiple of 4, and a "
                "distance above half of it"
            )
        return self

    @classmethod
    def width_step(cls, width: int) -> int:
        """Return the widest head with which every width has whole heads."""
        return 64

    def resized(self, width: int, layers: int) -> Self:
        """Return the network of another size, with heads of 32 to 64 and a feed-forward of 8/3 of the width."""
        heads = max(1, width // (32 if width < 512 else 64))
        sizes = {"width": width, "layers": layers, "heads": heads, "feed_forward": max(64, round(width * 8 / 3 / 64) * 64)}
        return type(self)(**{**self.model_dump(), **sizes})


class RecurrentConfig(NetworkBase, frozen=True, extra="forbid"):
    """A language model of gated recurrent units: its state has a fixed size, so a new token costs the same however long the text is."""

    BUILT_BY: ClassVar[str] = "model.networks.recurrent:Recurrent"
    SUPPORTS: ClassVar[frozenset[Ability]] = frozenset({"causal", "generation", "packed", "gradients", "recompute"})

    kind: Literal["recurrent"] = Field("recurrent", description="which network: gated recurrent units (GRU)")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share dropped in training, of embeddings and of what each layer adds; none in dpo and grpo"
    )
    norm_epsilon: float = Field(1e-5, gt=0, description="added to the mean square before its root; dimensionless")
    tied_embeddings: bool = Field(True, description="compute logits with the token embeddings instead of a second matrix")
    initial_std: float = Field(0.02, gt=0, description="standard deviation of initial embeddings and head; layers start as wide as torch's")

    @property
    def masks_documents(self) -> bool:
        """Documents of packed rows are sequences of their own."""
        return False

    def layout_problems(self, layout: Layout) -> Iterator[str]:
        """Also refuse recomputation under ZeRO 3."""
        yield from super().layout_problems(layout)
        yield from recurrence_layout_problems(self, layout)

    def resized(self, width: int, layers: int) -> Self:
        """Return the network of another size; it has no inner sizes."""
        return type(self)(**{**self.model_dump(), "width": width, "layers": layers})


AnyKind = DecoderConfig | HybridConfig | RecurrentConfig | EncoderConfig | EncoderDecoderConfig | NgramConfig
NetworkConfig = Annotated[AnyKind, Field(discriminator="kind")]
KINDS: dict[str, type[NetworkBase]] = {kind.model_fields["kind"].default: kind for kind in get_args(AnyKind)}

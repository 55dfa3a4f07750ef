"""Pretraining: next tokens, behind prompts or not, masked tokens, spans, or vectors of passages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from model.networks.base import Ability, NetworkBase
from model.training.train_config import AHEAD_WEIGHT, CorpusTrainConfig

if TYPE_CHECKING:
    from model.loading.source import BatchShare, Source
    from model.objectives.contrastive import Contrastive
    from model.objectives.masked import Masked
    from model.objectives.next_token import NextToken
    from model.objectives.prefix import PrefixLm
    from model.objectives.protocol import Objective
    from model.objectives.spans import Denoisers, Spans
    from model.rollouts.cycle import Policy
    from model.training.job import Job


class PretrainConfig(CorpusTrainConfig):
    """Next-token prediction over packed documents."""

    FROM_LOGITS: ClassVar[bool] = True
    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {**CorpusTrainConfig.NEEDS, "copy_rows": ("eval_rows",), "copy_tokens": ("copy_rows",)}

    kind: Literal["next_token"] = Field("next_token", description="training objective: the next token of every document")
    copy_rows: int = Field(0, ge=0, description="training passages tested for memorization at each measurement (copy_rate); 0: none")
    copy_tokens: int = Field(32, ge=1, description="length of such a passage's prompt, and of the continuation that must match; tokens")
    token_dropout: float = Field(
        0.0, ge=0, lt=1, description="probability that an input token is hidden from the network, in training alone; 0: none; fraction"
    )

    multi_token_weight: float = AHEAD_WEIGHT

    @property
    def ahead_weight(self) -> float:
        return self.multi_token_weight

    @property
    def dropped_tokens(self) -> float:
        return self.token_dropout

    @property
    def memorization_passages(self) -> tuple[int, int]:
        return self.copy_rows, self.copy_tokens

    @property
    def balances_experts(self) -> bool:
        """Unless an adapter leaves the router and its biases as they are."""
        return not self.adapter.KEEPS_BASE

    def build_objective(self, network: NetworkBase) -> NextToken:
        """Return the objective that this config describes."""
        from model.objectives.next_token import NextToken

        return NextToken(within_documents=self.within_documents, heads=self.trained_heads(network), heads_weight=self.multi_token_weight)


class PrefixConfig(CorpusTrainConfig):
    """Prefix language modelling over packed documents: each begins with a prompt, read both ways, behind which tokens are predicted."""

    FROM_LOGITS: ClassVar[bool] = True
    TEACHES_PROMPTS: ClassVar[bool] = True

    kind: Literal["prefix"] = Field("prefix", description="training objective: what follows a prompt that is read in both directions")
    least_prompt: float = Field(0.0, ge=0, lt=1, description="smallest share of a document that is its prompt; fraction")
    most_prompt: float = Field(0.75, gt=0, lt=1, description="largest share, each between the two is as likely; fraction")
    prompt_seed: int = Field(0, ge=0, description="decides, with a row's position, how long its documents' prompts are; integer")

    @model_validator(mode="after")
    def _prompts_stay_in_documents(self) -> PrefixConfig:
        if not self.within_documents:
            raise ValueError("within_documents=false with kind=prefix: a prompt belongs to its own document; leave it out")
        if self.least_prompt > self.most_prompt:
            raise ValueError(f"least_prompt={self.least_prompt} is above most_prompt={self.most_prompt}; lower it")
        return self

    def network_problems(self, network: NetworkBase, section: str, shape: str) -> Iterator[str]:
        """Yield that the network reads no prompt both ways."""
        if not network.reads_prompts:
            way = f"set {shape}prompt=bidirectional" if "prompt" in type(network).model_fields else f"choose {shape}kind=decoder"
            yield f"{section}kind=prefix with {shape}kind={network.kind}, which reads prompts causally: {way}, or kind=next_token"

    @property
    def balances_experts(self) -> bool:
        """Unless an adapter leaves the router and its biases as they are."""
        return not self.adapter.KEEPS_BASE

    def build_objective(self, network: NetworkBase) -> PrefixLm:
        """Return the objective that this config describes."""
        from model.objectives.prefix import PrefixLm

        return PrefixLm(least=self.least_prompt, most=self.most_prompt, seed=self.prompt_seed)


class MaskedConfig(CorpusTrainConfig):
    """Masked language modelling over packed documents: some tokens are hidden and predicted from all others."""

    REQUIRES: ClassVar[frozenset[Ability]] = frozenset({"bidirectional", "gradients"})
    HAS_NEXT_TOKENS: ClassVar[bool] = False
    # The head reads the chosen tokens alone.
    COUNTS_OPERATIONS: ClassVar[bool] = False

    kind: Literal["masked"] = Field("masked", description="training objective: the tokens that are hidden, from those around them")
    share: float = Field(0.15, gt=0, lt=1, description="share of a row's tokens that are chosen to be predicted, at least one; fraction")
    masked_share: float = Field(0.8, ge=0, le=1, description="share of the chosen tokens that become the mask; fraction")
    random_share: float = Field(
        0.1, ge=0, le=1, description="share of the chosen tokens that become a token drawn from the vocabulary; the rest stay; fraction"
    )
    whole_words: bool = Field(
        False, description="choose whole words, all tokens of each, in place of single tokens; needs pack.words; yes or no"
    )
    hiding_seed: int = Field(0, ge=0, description="decides, with a row's position, which of its tokens are chosen; integer")

    @model_validator(mode="after")
    def _shares_fit(self) -> MaskedConfig:
        if self.masked_share + self.random_share > 1:
            raise ValueError(
                f"masked_share={self.masked_share} and random_share={self.random_share} are more than all chosen tokens; lower one"
            )
        return self

    @property
    def read_share(self) -> float:
        return self.share

    @property
    def reads_words(self) -> bool:
        return self.whole_words

    def build_objective(self, network: NetworkBase) -> Masked:
        """Return the objective that this config describes."""
        from model.objectives.masked import Masked

        return Masked(self.share, self.masked_share, self.random_share, self.hiding_seed, self.within_documents, self.whole_words)


class SpansConfig(CorpusTrainConfig):
    """Span corruption over packed documents (T5): runs of tokens are hidden, each behind a sentinel, and written."""

    REQUIRES: ClassVar[frozenset[Ability]] = frozenset({"infilling", "gradients"})
    HAS_NEXT_TOKENS: ClassVar[bool] = False
    # Encoder and decoder read other numbers of tokens than a row has.
    COUNTS_OPERATIONS: ClassVar[bool] = False

    kind: Literal["spans"] = Field("spans", description="training objective: runs of tokens that are hidden, from the text around them")
    density: float = Field(0.15, gt=0, lt=1, description="share of a document's tokens that is hidden, at least one; fraction")
    mean_length: float = Field(3.0, ge=1, description="mean length of the hidden spans; tokens")
    most_spans: int = Field(99, ge=1, description="spans of a document at most; the network needs one sentinel more; count")
    hiding_seed: int = Field(0, ge=0, description="decides, with a row's position, which spans are hidden; integer")

    @model_validator(mode="after")
    def _spans_stay_in_documents(self) -> SpansConfig:
        if not self.within_documents:
            raise ValueError(
                "within_documents=false with kind=spans: each document has its own spans and sentinels, so it is read alone; leave it out"
            )
        return self

    def network_problems(self, network: NetworkBase, section: str, shape: str) -> Iterator[str]:
        """Yield that the network has too few sentinels."""
        if (sentinels := getattr(network, "sentinels", None)) is not None and sentinels <= self.most_spans:
            yield (
                f"{section}most_spans={self.most_spans} with {shape}sentinels={sentinels}: the last sentinel ends what is written; "
                f"set most_spans={sentinels - 1}, or more sentinels"
            )

    @property
    def read_share(self) -> float:
        return min(1.0, self.density * (1 + 1 / self.mean_length))

    def build_objective(self, network: NetworkBase) -> Spans:
        """Return the objective that this config describes."""
        from model.objectives.spans import Spans

        return Spans(self.density, self.mean_length, self.hiding_seed, self.most_spans)


class DenoiserConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """One of the ways in which documents are corrupted."""

    mode: Literal["R", "S", "X"] = Field(description="whose mark it has: R, regular; S, sequential; X, extreme")
    density: float = Field(gt=0, lt=1, description="share of a document's tokens that is hidden, at least one; fraction")
    mean_length: float = Field(0.0, ge=0, description="mean length of the hidden spans, 1 or more; 0: one span at the end; tokens")
    weight: float = Field(1.0, gt=0, description="share of the documents that are corrupted so, relative to the other ways'")

    @model_validator(mode="after")
    def _span_has_a_token(self) -> DenoiserConfig:
        if 0 < self.mean_length < 1:
            raise ValueError(f"mean_length={self.mean_length}: a span has a token at least; set 1 or more, or 0 for one span at the end")
        return self


# UL2's seven: two regular, one sequential, four extreme.
DENOISERS = (
    DenoiserConfig(mode="R", density=0.15, mean_length=3),
    DenoiserConfig(mode="R", density=0.15, mean_length=8),
    DenoiserConfig(mode="S", density=0.25),
    DenoiserConfig(mode="X", density=0.5, mean_length=3),
    DenoiserConfig(mode="X", density=0.5, mean_length=8),
    DenoiserConfig(mode="X", density=0.15, mean_length=64),
    DenoiserConfig(mode="X", density=0.5, mean_length=64),
)


class DenoisersConfig(CorpusTrainConfig):
    """UL2's mixture of denoisers over packed documents: each is corrupted in one of several ways, and what is hidden is written."""

    REQUIRES: ClassVar[frozenset[Ability]] = SpansConfig.REQUIRES
    HAS_NEXT_TOKENS: ClassVar[bool] = False
    COUNTS_OPERATIONS: ClassVar[bool] = False

    kind: Literal["denoisers"] = Field("denoisers", description="training objective: hidden spans, few or many, short or long, or the end")
    denoisers: tuple[DenoiserConfig, ...] = Field(
        DENOISERS, min_length=1, description="ways in which documents are corrupted; list of ways"
    )
    marks: bool = Field(
        False,
        description="begin what is read with the mark of its mode, one of the network's last three sentinels; without, modes have none",
    )
    most_spans: int = Field(
        96, ge=1, description="spans of a document at most; the network needs one sentinel more, and three for marks; count"
    )
    hiding_seed: int = Field(0, ge=0, description="decides, with a row's position, which way is taken and which spans are hidden; integer")

    @model_validator(mode="after")
    def _spans_stay_in_documents(self) -> DenoisersConfig:
        if not self.within_documents:
            raise ValueError("within_documents=false with kind=denoisers: each document is corrupted in its own way; leave it out")
        return self

    def network_problems(self, network: NetworkBase, section: str, shape: str) -> Iterator[str]:
        """Yield that the network has too few sentinels."""
        wanted = self.most_spans + 1 + (3 if self.marks else 0)
        if (sentinels := getattr(network, "sentinels", None)) is not None and sentinels < wanted:
            yield (
                f"{section}most_spans={self.most_spans} and {section}marks={str(self.marks).lower()} with {shape}sentinels={sentinels}: "
                f"they take {wanted}; set {shape}sentinels={wanted}, or fewer spans"
            )

    @property
    def read_share(self) -> float:
        ways = [(way.density * (1 + 1 / way.mean_length) if way.mean_length else way.density, way.weight) for way in self.denoisers]
        return min(1.0, sum(share * weight for share, weight in ways) / sum(weight for _, weight in ways))

    def build_objective(self, network: NetworkBase) -> Denoisers:
        """Return the objective that this config describes."""
        from model.objectives.spans import Denoiser, Denoisers

        ways = tuple(Denoiser(way.mode, way.density, way.mean_length, way.weight) for way in self.denoisers)
        marks = getattr(network, "sentinels", 0) if self.marks else 0
        return Denoisers(seed=self.hiding_seed, most_spans=self.most_spans, ways=ways, marks=marks)


class ContrastiveConfig(CorpusTrainConfig):
    """Contrastive learning over packed documents: the two halves of a passage are to find each other among those of all rows of a step."""

    REQUIRES: ClassVar[frozenset[Ability]] = frozenset({"packed", "gradients"})
    HAS_NEXT_TOKENS: ClassVar[bool] = False
    # Each text is read twice, once without gradients, and the head not at all.
    COUNTS_OPERATIONS: ClassVar[bool] = False

    kind: Literal["contrastive"] = Field("contrastive", description="training objective: vectors by which halves of a passage are found")
    temperature: float = Field(
        0.05, gt=0, le=1, description="cosines are divided by it; lower: the nearest others count more; dimensionless"
    )
    hardness: float = Field(
        0.0, ge=0, le=4, description="how much more the likest other passages weigh, as exp(hardness * cosine / temperature); 0: all alike"
    )
    sizes: tuple[int, ...] = Field(
        (), description="beginnings of a vector that are to be vectors by themselves (Matryoshka), besides the whole; numbers, ascending"
    )
    least_tokens: int = Field(8, ge=1, description="a row whose longest document has not twice as many is left out; tokens of a half")
    cutting_seed: int = Field(0, ge=0, description="decides, with a row's position, where its passage is cut; integer")

    @model_validator(mode="after")
    def _passages_can_be_compared(self) -> ContrastiveConfig:
        if self.smallest_batch < 2:
            raise ValueError(
                f"global_batch={self.smallest_batch} with kind=contrastive: a passage is told from others of its step; set 2 or more"
            )
        if list(self.sizes) != sorted(set(self.sizes)) or any(size < 1 for size in self.sizes):
            raise ValueError(f"sizes={list(self.sizes)}: give numbers from 1 on, each once, in ascending order")
        if not self.within_documents:
            raise ValueError("within_documents=false with kind=contrastive: a passage is of one document; leave it out")
        if self.adapter.drops:
            raise ValueError(f"adapter.dropout={self.adapter.drops} with kind=contrastive: both passes are to be the same; set 0")
        return self

    def network_problems(self, network: NetworkBase, section: str, shape: str) -> Iterator[str]:
        """Yield that the network has no hidden vector of each token, drops some, or norms by the batch; or that a size is too large."""
        kind = f"{section}kind=contrastive"
        if not {"causal", "bidirectional"} & network.SUPPORTS:
            yield f"{kind} with {shape}kind={network.kind}: it reads texts with gaps alone; choose kind=encoder or kind=decoder"
        if share := getattr(network, "dropout", 0):
            yield f"{shape}dropout={share} with {kind}: each text is read twice, and both passes are to be the same; set dropout=0"
        if network.whole_batch:
            yield f"{shape}norm=batch with {kind}: a text's vector would depend on others; use another norm"
        if self.sizes and self.sizes[-1] >= network.width:
            yield f"{section}sizes={list(self.sizes)} with {shape}width={network.width}: smaller ones are asked for; leave others out"

    @property
    def read_share(self) -> float:
        return 0.0

    def build_objective(self, network: NetworkBase) -> Contrastive:
        """Return the objective that this config describes."""
        from model.objectives.contrastive import Contrastive

        return Contrastive(
            (*self.sizes, network.width), self.global_batch, max(self.global_batch, self.eval_rows), self.temperature, self.hardness,
            self.least_tokens, self.cutting_seed,
        )  # fmt: skip

    def build_source(self, job: Job, objective: Objective, share: BatchShare, policy: Policy) -> Source:
        """Return the job's packed rows, each with the token that begins a text."""
        from model.loading.joined_rows import BegunRows
        from model.training.job_batches import job_batches

        return job_batches(job, objective, share.device, share.rank, share.world_size, lambda rows, part: BegunRows(rows))

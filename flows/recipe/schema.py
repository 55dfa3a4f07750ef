"""The recipe: the one typed, frozen description of a run, and the flow's only parameter.

Guarantees: an unknown key, a value of the wrong type and a contradiction between sections are refused before anything starts, naming
the key. What can change the bytes stands in the stages' own sections; what can't stands in `resources`, `rates`, `root`, `store` and
`tracking`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, model_validator

from data.audit.config import AuditConfig
from data.cleaning.config import CleanConfig
from data.decontamination.config import DecontaminateConfig
from data.dedup.config import DedupConfig
from data.examples.config import ExamplesConfig
from data.filtering.config import FilterConfig
from data.sources.config import IngestConfig
from data.splits.config import SplitConfig
from data.synthetic.config import SyntheticSource
from data.tokens.config import CONVERSATIONS, EncodeConfig, PackConfig, TokenizerConfig
from data.universe.config import UniverseSource
from flows.recipe.unused_keys import inert
from flows.services.local import home, store_url, tracking_url
from model.evaluation.config import EvaluateConfig
from model.evaluation.gate import GateConfig
from model.loading.mixture_config import mixture_problem
from model.networks.config import DecoderConfig
from model.quantization.config import QuantizeConfig
from model.release.config import CardConfig, ExportConfig
from model.training.config import DpoConfig, PretrainConfig, SftConfig
from model.training.parallel.compatibility import incompatibilities
from tasks.release.export import Exporting
from tasks.stage.tracking.cost import Rates
from tasks.training.config import Pretraining, Tuning
from tasks.training.resources import PipelineResources


class Evaluations(BaseModel, frozen=True, extra="forbid"):
    """What is measured at each place."""

    base: EvaluateConfig = Field(description="of the pretrained model")
    chat: EvaluateConfig = Field(description="of the aligned model")
    release: EvaluateConfig = Field(description="of what is released, in full precision and in INT8")


class Gates(BaseModel, frozen=True, extra="forbid"):
    """What must hold before anything downstream goes on."""

    corpus: GateConfig = Field(description="of the audited corpus; metrics are named corpus.<metric>")
    base: GateConfig = Field(description="of the pretrained model and its shards; base.<metric>, pack.<metric>")
    chat: GateConfig = Field(description="of the aligned model; chat.<metric>")
    release: GateConfig = Field(description="of the release; release.<metric> and int8.<metric>")


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """From sources to a released model."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$", description="names the run, its artifacts and its MLflow experiment")
    description: str = Field("", description="one line for people")
    seed: int = Field(1, ge=0, description="of initial weights and of the order of samples in all training")

    ingest: IngestConfig
    clean: CleanConfig = CleanConfig()
    filter: FilterConfig = FilterConfig()
    dedup: DedupConfig = DedupConfig()
    decontaminate: DecontaminateConfig = DecontaminateConfig()
    split: SplitConfig = SplitConfig()
    audit: AuditConfig = AuditConfig()
    examples: ExamplesConfig
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    model: DecoderConfig = DecoderConfig()
    pretrain: PretrainConfig
    encode: EncodeConfig = EncodeConfig()
    sft: SftConfig = SftConfig()
    dpo: DpoConfig = DpoConfig()
    evaluate: Evaluations
    gates: Gates
    quantize: QuantizeConfig = QuantizeConfig()
    export: ExportConfig = ExportConfig()
    card: CardConfig

    resources: PipelineResources = Field(PipelineResources(), description="threads, memory and how training is spread; never identity")
    rates: Rates = Field(Rates(), description="prices, so that money stands beside seconds of machine time; never identity")
    root: str = Field(".", description="folder that relative paths are taken from; never identity")
    store: str = Field("", description="where artifacts live: a path or an fsspec URL; empty: in folio's home; never identity")
    tracking: str = Field("", description="MLflow's database, a URL; empty: in folio's home; none: no tracking; never identity")

    @model_validator(mode="after")
    def _sections_fit(self) -> Recipe:
        for section, length in (("pack", self.pack.sequence_length), ("encode", self.encode.sequence_length)):
            if length != self.model.context:
                raise ValueError(
                    f"{section}.sequence_length={length} and model.context={self.model.context} differ; rows and model need one length"
                )
        spread = "resources.training.parallel."
        for section, train in (("pretrain.", self.pretrain), ("sft.", self.sft), ("dpo.", self.dpo)):
            resources = self.resources.training.suited(train.objective)
            for problem in incompatibilities(self.model, train, resources, section=section, shape="model.", spread=spread):
                raise ValueError(problem)
        if (differences := self.model.llama_differences()) and self.export.format == "huggingface":
            raise ValueError(
                f"export.format=huggingface writes a Llama, and model.{', model.'.join(differences)} makes another decoder; "
                "set export.format: folio, or leave those at their defaults"
            )
        if not differences and self.export.format == "folio":
            raise ValueError("export.format=folio is for a model that is no Llama, and this one is; set export.format: huggingface")
        drawn = DecoderConfig.model_fields["initial_std"].default
        if self.pretrain.initial and self.model.initial_std != drawn:
            raise ValueError(
                f"model.initial_std={self.model.initial_std} does nothing with pretrain.initial={self.pretrain.initial!r}, whose weights "
                f"are taken; give it its default, {drawn}"
            )
        if self.resources.runner != "threads" and self.ingest.shards == 1:
            raise ValueError(
                f"resources.runner={self.resources.runner} does nothing while ingest.shards=1; workers share shards, so have more of them, "
                "or runner=threads"
            )
        if self.examples.kind == "universe" and self.universe is None:
            raise ValueError("examples.kind=universe needs a source of kind universe in ingest.sources; use kind corpus for other books")
        labels = [source.label for source in self.ingest.sources]
        if strange := [name for name in self.dedup.prefer_sources if name not in labels]:
            raise ValueError(f"dedup.prefer_sources={strange[0]!r} names no source; ingest.sources has {', '.join(labels)}")
        if self.split.stratify == "source" and len(labels) == 1:
            raise ValueError("split.stratify=source does nothing while ingest.sources has one source; add one, or set stratify: none")
        share, default = self.split.synthetic_share, SplitConfig.model_fields["synthetic_share"].default
        if share != default and self.synthetic is None:
            raise ValueError(
                f"split.synthetic_share={share} does nothing without a source of kind synthetic in ingest.sources; add one, or give it its "
                f"default, {default}"
            )
        return self

    @model_validator(mode="after")
    def _mixture_fits(self) -> Recipe:
        labels = [source.label for source in self.ingest.sources]
        if self.pack.by_source and CONVERSATIONS in labels:
            raise ValueError(
                f"pack.by_source=true, and ingest.sources has one called {CONVERSATIONS}, as the rows of conversations are; rename it"
            )
        if not self.pretrain.mixture:
            return self
        if not self.pack.by_source:
            raise ValueError(
                "pretrain.mixture weighs sources, but with pack.by_source=false a row holds text of several; set pack.by_source=true, "
                "or leave the mixture empty"
            )
        rows = dict.fromkeys([*labels, *([CONVERSATIONS] if self.pack.instruction_fraction else [])], 1)
        if fault := mixture_problem(self.pretrain.mixture, rows):
            raise ValueError(f"pretrain.{fault}")
        return self

    @model_validator(mode="after")
    def _every_key_counts(self) -> Recipe:
        if idle := list(inert(self)):
            raise ValueError("\n  ".join(idle))
        return self

    @property
    def universe(self) -> UniverseSource | None:
        """The generated universe among the sources, whose truth is known; None without one."""
        return next((source for source in self.ingest.sources if isinstance(source, UniverseSource)), None)

    @property
    def synthetic(self) -> SyntheticSource | None:
        """The source that a machine writes; None without one."""
        return next((source for source in self.ingest.sources if isinstance(source, SyntheticSource)), None)

    @property
    def pretraining(self) -> Pretraining:
        """The pretraining stage's config."""
        return Pretraining(model=self.model, train=self.pretrain, seed=self.seed)

    @property
    def instruction_tuning(self) -> Tuning:
        """The SFT stage's config."""
        return Tuning(train=self.sft, seed=self.seed)

    @property
    def preference_tuning(self) -> Tuning:
        """The DPO stage's config."""
        return Tuning(train=self.dpo, seed=self.seed)

    @property
    def exporting(self) -> Exporting:
        """The export stage's config."""
        return Exporting(
            recipe=self.name,
            seed=self.seed,
            licences={source.label: source.licence for source in self.ingest.sources},
            export=self.export,
            card=self.card,
            pretrain=self.pretrain,
            sft=self.sft,
            dpo=self.dpo,
        )

    @property
    def register_as(self) -> str:
        """Name in the model registry."""
        return f"folio-{self.name}"

    def run_settings(self) -> dict[str, Any]:
        """What opens a run of this recipe."""
        return {
            "name": self.name,
            "root": Path(self.root).resolve(),
            "home": home(),
            "store": self.store or store_url(),
            "tracking": "" if self.tracking == "none" else self.tracking or tracking_url(),
            "resources": self.resources,
            "parameters": self.model_dump(mode="json"),
        }

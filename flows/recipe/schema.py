"""The recipe: the typed, frozen description of one run, and the flow's only parameter.

Every section has defaults that work, so a name and sources make a recipe. The config classes live next to the functions they configure;
this file composes them. An unknown key, a value of the wrong type and a contradiction between sections are refused by name before
anything starts. `resources`, `rates`, `root`, `store` and `tracking` change no artifact; everything else may.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from data.audit.config import AuditConfig
from data.baselines.config import BaselineConfig
from data.cleaning.config import CleanConfig
from data.decontamination.config import DecontaminateConfig
from data.dedup.config import DedupConfig
from data.examples.config import ConversationExamples, CorpusExamples, ExamplesConfig
from data.filtering.config import FilterConfig
from data.judgements.config import JudgementConfig
from data.searching.passages import IndexConfig
from data.sources.config import IngestConfig
from data.splits.config import SplitConfig
from data.synthetic.config import SyntheticSource
from data.tokens.config import EncodeConfig, PackConfig, TokenizerConfig
from data.universe.config import UniverseSource
from flows.recipe.checks import contradictions
from flows.recipe.counted import with_counted_defaults
from flows.recipe.opening import with_shape
from flows.recipe.shorthands import TUNING, expand_shorthands, unused_keys, with_entrants
from flows.services.home import JUDGEMENTS, home, store_url, tracking_url
from model.aims.config import ExamineConfig
from model.aims.protocol import StepGate
from model.evaluation.config import ArenaEvaluation, ConsultConfig, EvaluateConfig
from model.evaluation.gate import MOST_TIMES_THE_BITS, Bound, FidelityConfig, FidelitySettings, GateConfig
from model.evaluation.plain_words import TEXTS
from model.evaluation.relations import Limit
from model.inference.config import EmbedConfig
from model.networks.config import DecoderConfig, NetworkConfig
from model.opening.config import OpenModel
from model.quantization.config import VariantConfig
from model.quantization.integers import Int8Config
from model.release.card import TrainingFact
from model.release.config import CardConfig, ExportConfig
from model.training.config import PretrainConfig, PretrainStep, TuningStep
from tasks.project import FOLIO
from tasks.release import Exporting
from tasks.stage.tracking.cost import Rates
from tasks.training.config import ArenaConfig, Entrant, PipelineResources, Pretraining, Tuning


class ReleaseEvaluation(EvaluateConfig):
    """The evaluation of the released models; by default on the test split, which no choice was based on."""

    splits: tuple[str, ...] = Field(("val", "test"), min_length=1, description="splits whose loss is measured; names")


class Evaluations(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The evaluation of each model."""

    base: EvaluateConfig = Field(EvaluateConfig(), description="of the pretrained model")
    chat: EvaluateConfig = Field(EvaluateConfig(), description="of the aligned model")
    release: ReleaseEvaluation = Field(ReleaseEvaluation(), description="of what is released, in full precision and quantized")
    variants: FidelitySettings = Field(FidelitySettings(), description="how close each quantized form is to the model, in its users' tool")


def _bounds(*bounds: Bound) -> Any:
    return Field(bounds, min_length=1, description="what must hold, one bound for each metric; list of bounds")


# A model that predicts no better than an n-gram model was not worth training, so it fails by default.
class CorpusGate(GateConfig):
    """The bounds on a corpus; by default something is left, and every character is accounted for."""

    bounds: tuple[Bound, ...] = _bounds(Bound(metric="corpus.documents_kept", minimum=1), Bound(metric="corpus.balanced", minimum=1))


class BaseGate(GateConfig):
    """The bounds on a pretrained model; by default it predicts unseen text better than counted n-grams."""

    bounds: tuple[Bound, ...] = _bounds(Bound(metric="base.val.bits_per_byte", beats="baseline.ngram"))


class ChatGate(GateConfig):
    """The bounds on an aligned model; by default tuning has not undone what pretraining learned, whatever else a recipe asks."""

    bounds: tuple[Bound, ...] = _bounds(Bound(metric="chat.val.bits_per_byte", no_worse_than="base", by=0.1))
    most_times_the_bits: Limit | None = Field(
        MOST_TIMES_THE_BITS,
        gt=0,
        description="times the bits per byte of the base model that tuning may cost at most; the default gives way to bounds that compare "
        "them themselves; null: not judged; ratio",
    )


class ReleaseGate(GateConfig):
    """The bounds on a release; by default it beats n-grams on the test split."""

    bounds: tuple[Bound, ...] = _bounds(
        Bound(metric="release.test.bits_per_byte", beats="baseline.ngram"),
    )


class Gates(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The conditions that a result must meet before any later stage may use it."""

    corpus: CorpusGate = Field(CorpusGate(), description="of the audited corpus; metrics are named corpus.<metric>")
    base: BaseGate = Field(
        BaseGate(), description="of the pretrained model and its shards; base.<metric>, pack.<metric>, baseline.<metric>"
    )
    chat: ChatGate = Field(ChatGate(), description="of the aligned model; chat.<metric>, base.<metric>, baseline.<metric>")
    release: ReleaseGate = Field(
        ReleaseGate(), description="of the release; release.<metric>, <variant>.<metric>, and chat, base and baseline to compare with"
    )


class Releasing(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The forms that are released beside the model in full precision."""

    variants: tuple[VariantConfig, ...] = Field(
        (Int8Config(kind="int8", name="int8"),),
        description="quantized forms; each gets a folder of its name, is evaluated, and may be named in gates.release",
    )
    promote: str | None = Field(
        None,
        min_length=8,
        description="make the model champion once its gate passed, although it is not known to be better than the one before, for this "
        "reason, which is recorded; text",
    )


class PassageVectors(EmbedConfig):
    """The search: how passages and questions become vectors."""

    model: OpenModel | None = Field(None, description="an open model that makes them; null: the model of the recipe itself")
    question_prefix: str = Field("", description="put before each question, as some models of vectors ask, such as 'query: '; text")

    @property
    def embedding(self) -> EmbedConfig:
        """The config of the stage that makes the vectors."""
        return EmbedConfig(passage_prefix=self.passage_prefix)


class PassageIndex(IndexConfig):
    """An index of the passages of all documents, held-out ones too, for `folio search` and for answers with citations."""

    vectors: PassageVectors | None = Field(
        None,
        description="find passages by meaning besides words, with vectors whose order is joined with that of the words; null: words alone",
    )
    evaluate: ConsultConfig | None = Field(
        None,
        description="measure on held-out questions how often their passages are found, and answers with documents beside closed-book ones; "
        "gates.release may bound them as documents.<metric>; null: not measured",
    )

    @property
    def indexing(self) -> IndexConfig:
        """The config of the stage that indexes."""
        return IndexConfig(passage_characters=self.passage_characters)


class Recipe(BaseModel, frozen=True, extra="forbid", defer_build=True):
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
    examples: ExamplesConfig = CorpusExamples()
    index: PassageIndex | None = Field(
        None, description="an index of passages that `folio search`, and `--documents` of `folio chat` and `folio serve`, read; null: none"
    )
    base: OpenModel | None = Field(
        None,
        description="an open model to start from, in place of pretraining or before more of it: model and tokenizer are then its own; "
        "null: a model is trained from nothing",
    )
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    baseline: BaselineConfig = BaselineConfig()
    model: NetworkConfig = DecoderConfig()
    pretrain: PretrainStep = PretrainConfig()
    arena: ArenaConfig = ArenaConfig()
    encode: EncodeConfig = EncodeConfig()
    tuning: tuple[TuningStep, ...] = Field(
        TUNING, description="steps of training that follow each other, each from the model before it; [] leaves the base model as it is"
    )
    adapters: tuple[TuningStep, ...] = Field(
        (),
        description="adapters of the model that tuning leaves, side by side: each is a step of training that starts from that model, is "
        "measured as the chat model is, and is released in adapters/NAME/; one of kind full is measured beside them; list of steps",
    )
    evaluate: Evaluations = Evaluations()
    gates: Gates = Gates()
    release: Releasing = Releasing()
    export: ExportConfig = ExportConfig()
    card: CardConfig = CardConfig()

    resources: PipelineResources = Field(PipelineResources(), description="threads, memory and how training is spread; never identity")
    rates: Rates = Field(Rates(), description="prices, so costs are shown in money beside seconds of machine time; never identity")
    root: str = Field(".", description="folder that relative paths start from; never identity")
    store: str = Field("", description="where artifacts live: a path or an fsspec URL; empty: in folio's home; never identity")
    tracking: str = Field("", description="MLflow's database, a URL; empty: in folio's home; none: no tracking; never identity")

    @model_validator(mode="before")
    @classmethod
    def _shorthands(cls, given: Any) -> Any:
        return with_counted_defaults(with_shape(with_entrants(expand_shorthands(given)))) if isinstance(given, dict) else given

    @field_validator("examples", "model", mode="before")
    @classmethod
    def _kind_by_default(cls, given: Any, info: ValidationInfo) -> Any:
        """Let a recipe change one key of a section without naming its kind, which is then the default's."""
        default = cls.model_fields[str(info.field_name)].default
        return {"kind": default.kind, **given} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _sections_fit(self) -> Recipe:
        if problem := next(contradictions(self), None):
            raise ValueError(problem)
        if unused := list(unused_keys(self)):
            raise ValueError("\n  ".join(unused))
        return self

    @property
    def universe(self) -> UniverseSource | None:
        """The generated universe among the sources, whose clean text is known; None without one."""
        return next((source for source in self.ingest.sources if isinstance(source, UniverseSource)), None)

    @property
    def synthetic(self) -> SyntheticSource | None:
        """The machine-written source; None without one."""
        return next((source for source in self.ingest.sources if isinstance(source, SyntheticSource)), None)

    @property
    def judging(self) -> JudgementConfig | None:
        """The config of the stage that reads judgements; None if the recipe learns from none."""
        source = self.examples.judgements if isinstance(self.examples, ConversationExamples) else None
        if source is None:
            return None
        return JudgementConfig(name=source.name, folder=source.folder or str(home() / JUDGEMENTS), without=self.ingest.without)

    @property
    def pretrains(self) -> bool:
        """Whether a model is pretrained on the corpus, from nothing or from an open one."""
        return self.base is None or self.base.pretrain

    @property
    def takes_steps(self) -> bool:
        """Whether pretraining takes steps: a model that is counted takes none."""
        return self.pretrains and not self.model.counted

    @property
    def trainings(self) -> dict[str, PretrainStep | TuningStep]:
        """Every training, by its section, such as `tuning[0].`."""
        listed = ((name, getattr(self, name)) for name in ("tuning", "adapters"))
        steps = {f"{name}[{at}].": step for name, steps in listed for at, step in enumerate(steps)}
        return {**({"pretrain.": self.pretrain} if self.pretrains else {}), **steps}

    @property
    def pretraining(self) -> Pretraining:
        """The pretraining stage's config."""
        if self.model.counted:  # the same counts on every machine and from every seed
            return Pretraining(model=self.model, train=self.pretrain, seed=0, row_length=self.pack.sequence_length)
        return Pretraining(model=self.model, train=self.pretrain.resolved(), seed=self.seed, row_length=self.pack.sequence_length)

    @property
    def competing(self) -> dict[str, Pretraining]:
        """The trainings of the arena by name and number of the seed, such as `gru.0`, round after round."""
        found: dict[str, Pretraining] = {}
        for seed, entrant in product(range(self.arena.seeds), self.arena.entrants):
            counted = entrant.model.counted  # the same from every seed
            if counted and seed:
                continue
            train = PretrainConfig() if counted else self.training_of(entrant)
            found[f"{entrant.name}.{seed}"] = Pretraining(
                model=entrant.model,
                train=train.resolved(),
                seed=0 if counted else self.seed + seed,
                row_length=self.pack.sequence_length,
            )
        return found

    def training_of(self, entrant: Entrant) -> PretrainStep:
        """Return how a network of the arena is trained: as `pretrain` says, at its own learning rate if it has one."""
        own = {} if entrant.learning_rate is None else {"learning_rate": entrant.learning_rate}
        return self.pretrain.model_copy(update=own)

    @property
    def appraising(self) -> ArenaEvaluation:
        """The evaluation of each network of the arena: nothing that is only for people to read."""
        base = dict(self.evaluate.base) | {"samples": 0}
        return ArenaEvaluation(**base, lengths=self.arena.lengths)

    def tuning_by(self, step: TuningStep) -> Tuning:
        """Return the config of the stage that tunes by `step`."""
        # What a step is judged by afterwards decides nothing of its model.
        train = step.resolved().model_copy(update={"gate": None})
        return Tuning(train=train, seed=self.seed, row_length=self.encode.sequence_length)

    def examining(self, step: TuningStep, gate: StepGate) -> ExamineConfig:
        """Return what is measured before and after a step that has a gate."""
        chat = self.evaluate.chat
        return ExamineConfig(
            aim=step.aim(),
            rows=gate.rows,
            text=step.MAKES_POLICY and gate.most_bits_per_byte is not None,
            questions=step.MAKES_POLICY and gate.most_right_lost is not None,
            answer_tokens=chat.answer_tokens,
            text_rows=chat.rows,
            confidence=gate.confidence,
            seed=self.seed,
        )

    @property
    def judging_tuning(self) -> GateConfig:
        """The bounds on the aligned model, with that on what tuning may cost."""
        given, names = self.gates.chat, [f"{split}.bits_per_byte" for split in self.splits_of_tuning]
        most = given.most_times_the_bits
        judged = any(f"base.{name}" in (bound.relative_to, bound.other(bound.metric)) for bound in given.bounds for name in names)
        costs = [
            Bound(metric=f"chat.{name}", relative_to=f"base.{name}", maximum=most)
            for name in names[:1]
            if most is not None and not (judged and most == MOST_TIMES_THE_BITS)
        ]
        return GateConfig(bounds=(*given.bounds, *costs), confidence=given.confidence, overrule=given.overrule, approve=given.approve)

    @property
    def splits_of_tuning(self) -> list[str]:
        """The splits on which the aligned model and the base model are compared, best first; none if there is nothing to compare."""
        if "causal" not in self.model.SUPPORTS or not any(step.MAKES_POLICY for step in self.tuning):
            return []
        return [split for split in TEXTS if split in self.evaluate.chat.splits and split in self.evaluate.base.splits]

    def fidelity_of(self, variant: VariantConfig) -> FidelityConfig:
        """Return how a quantized form is compared with the model, and what must hold of it for its release."""
        bounds = [Bound(metric="kl", maximum=variant.most_kl)]
        if "causal" in self.model.SUPPORTS:
            bounds.insert(0, Bound(metric="bits_per_byte_ratio", maximum=variant.most_bits_per_byte))
        return FidelityConfig(settings=self.evaluate.variants, bounds=tuple(bounds), overrule=variant.overrule)

    @property
    def reads_texts(self) -> bool:
        """Whether any training reads the texts of the corpus: by themselves, replayed, or in examples made from them."""
        generated = not isinstance(self.examples, ConversationExamples) or self.examples.generated is not None
        return self.pretrains or generated or any(step.replay_share for step in (*self.tuning, *self.adapters))

    @property
    def exporting(self) -> Exporting:
        """The export stage's config."""
        told = self.examples.sources if isinstance(self.examples, ConversationExamples) else ()
        return Exporting(
            recipe=self.name,
            seed=self.seed,
            licences={source.label: source.licence for source in (*self.ingest.sources, *told)},
            export=self.export,
            card=self.card.completed(self.name, self.description),
            training=tuple(
                TrainingFact(
                    title=step.title,
                    length=step.length,
                    learning_rate=step.learning_rate,
                    precision=step.precision.kind,
                    may_end_early=step.guards.patience > 0,
                )
                for step in (step.resolved() for step in (*([self.pretrain] if self.takes_steps else []), *self.tuning))
            ),
            row_length=self.pack.sequence_length,
        )

    @property
    def register_as(self) -> str:
        """Name in the model registry."""
        return f"folio-{self.name}"

    def run_settings(self) -> dict[str, Any]:
        """Return the arguments that open a run of this recipe."""
        return {
            "project": FOLIO,
            "name": self.name,
            "root": Path(self.root).resolve(),
            "home": home(),
            "store": self.store or store_url(),
            "tracking": "" if self.tracking == "none" else self.tracking or tracking_url(),
            "resources": self.resources,
            "parameters": self.model_dump(mode="json"),
        }

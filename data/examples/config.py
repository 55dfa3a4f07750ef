"""The configuration of the examples."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from data.conversations.records import Turns
from data.dedup.config import DedupConfig, NearRule, PageRule, ParagraphRule
from data.problems.config import Gym, Programs, problem_sets
from data.searching.passages import IndexConfig
from data.shards.address import Teaching
from data.sources.config import ConversationIngest, ConversationSource, JudgementSource
from data.splits.config import SplitConfig
from data.universe.config import UniverseExamples


class CorpusExamples(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Examples made from the books themselves: continue, which book, who says it, who speaks next."""

    OF_UNIVERSE: ClassVar[bool] = False

    kind: Literal["corpus"] = Field("corpus", description="names this kind of examples")
    seed: int = Field(0, ge=0, description="seed of which passages are used and held out, and of every choice of words")
    max_words: int = Field(48, ge=6, description="longest passage and answer together, without the question's own words; words")
    passages_per_book: int = Field(120, ge=1, description="most passages from one book; count")
    max_passages: int = Field(4000, ge=2, description="most passages in all; count")
    heldout_fraction: float = Field(0.2, ge=0, le=0.5, description="share of the passages that only questions_heldout asks about; fraction")
    validation_fraction: float = Field(0.1, ge=0, le=0.5, description="share of the other passages kept for validation; fraction")
    turns: Turns = 1
    questions: int = Field(200, ge=0, description="most questions in each of questions_seen and questions_heldout; count")
    programs: Programs = None
    gym: Gym = ()

    @property
    def tested_skills(self) -> tuple[str, ...]:
        """Skills that test items are made of: none."""
        return ()

    @property
    def question_sets(self) -> frozenset[str]:
        """Sets of questions besides the seen and the held-out ones."""
        return problem_sets(self.programs, self.gym)


class SymbolExamples(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Questions about sequences of symbols: how those of validation and test end. Nothing is taught besides the sequences."""

    OF_UNIVERSE: ClassVar[bool] = False
    tested_skills: ClassVar[tuple[str, ...]] = ()
    question_sets: ClassVar[frozenset[str]] = frozenset()
    validation_fraction: ClassVar[float] = 0.0
    programs: ClassVar[None] = None
    gym: ClassVar[tuple[()]] = ()

    kind: Literal["symbols"] = Field("symbols", description="names this kind of examples")
    questions: int = Field(
        400, ge=1, description="most questions in each of questions_seen, of training texts, and questions_heldout; count"
    )


class DocumentExamples(Teaching):
    """Questions with answers that a teacher writes about passages of the training documents, each kept only if it holds what it should.

    A question is kept if its passage answers it and the teacher alone does not, its answer has the passage's words and language, and
    neither copies the request, asks what another asks, or holds text of an evaluation set or of the test split.
    """

    OF_UNIVERSE: ClassVar[bool] = False

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {"without_answer": ("shown",)}

    kind: Literal["documents"] = Field("documents", description="names this kind of examples")
    passage_characters: int = Field(800, ge=40, description="longest passage that a question is about; characters")
    least_characters: int = Field(8, ge=1, description="shortest question; characters")
    question_characters: int = Field(300, ge=1, description="longest question; characters")
    answer_characters: int = Field(400, ge=1, description="longest answer; characters")
    same_language: bool = Field(True, description="drop a question or an answer in another language than its passage; yes or no")
    declines: tuple[str, ...] = Field(
        (), description="words by which the teacher declines besides `unanswerable`, which it is asked for, such as 'ich weiß es nicht'"
    )
    decontaminate: bool = Field(
        True,
        json_schema_extra={"identity": False},
        description="drop a question or an answer that holds text of the test split, or of the sets of decontaminate.against; yes or no",
    )
    shown: int = Field(
        0,
        ge=0,
        le=20,
        description="passages that each training question is asked with once more, as `--documents` shows them: its own, which the answer "
        "cites, among the most alike; 0: questions are learned without documents alone; count",
    )
    without_answer: float = Field(
        0.25, ge=0, lt=1, description="share of these that lack their own passage, and whose answer is `unanswerable`; fraction"
    )
    heldout_fraction: float = Field(0.2, ge=0, le=0.5, description="share of the passages that only questions_heldout asks about; fraction")
    validation_fraction: float = Field(0.1, ge=0, le=0.5, description="share of the other passages kept for validation; fraction")

    @property
    def teaching(self) -> Teaching:
        """The requests to the teacher."""
        return Teaching(**{name: getattr(self, name) for name in Teaching.model_fields})

    @property
    def indexing(self) -> IndexConfig:
        """The settings by which the training documents become passages."""
        return IndexConfig(passage_characters=self.passage_characters)

    @property
    def tested_skills(self) -> tuple[str, ...]:
        """Skills that test items are made of: none."""
        return ()

    @property
    def question_sets(self) -> frozenset[str]:
        """Sets of questions besides the seen and the held-out ones: none."""
        return frozenset()


GeneratedExamples = Annotated[UniverseExamples | CorpusExamples, Field(discriminator="kind")]


class ConversationExamples(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Conversations from files, pairs and labelled answers among them, mixed with generated examples where there are any.

    They pass the stages that books pass: read, deduplicated, decontaminated and split, each with a ledger.
    """

    kind: Literal["conversations"] = Field("conversations", description="names this kind of examples")
    sources: tuple[ConversationSource, ...] = Field(
        min_length=1, json_schema_extra={"identity": False}, description="where the conversations come from, in the order they are read"
    )
    generated: GeneratedExamples | None = Field(
        None, description="examples generated beside them, which also give the questions that a model is asked; null: none"
    )
    max_megabytes: int = Field(
        8, ge=1, json_schema_extra={"identity": False}, description="quarantine a longer conversation instead of reading it; megabytes"
    )
    exact: bool = Field(True, json_schema_extra={"identity": False}, description="remove conversations with equal words")
    near: NearRule = Field(
        NearRule(action="cluster"),
        json_schema_extra={"identity": False},
        description="conversations that resemble each other; by default they stay, on one side of the split, since many share a long "
        "instruction and differ in what follows",
    )
    decontaminate: bool = Field(
        True,
        json_schema_extra={"identity": False},
        description="remove conversations that hold text of the test split, of held-out questions, or of the sets of "
        "decontaminate.against; true: those that do are removed whole",
    )
    validation_fraction: float = Field(
        0.05, ge=0, lt=1, json_schema_extra={"identity": False}, description="share of the conversations kept for validation; fraction"
    )
    seed: int = Field(0, ge=0, description="seed of which conversations are kept for validation, and of the order of examples; integer")

    @property
    def OF_UNIVERSE(self) -> bool:  # as the other kinds have it
        """Whether generated examples are about a universe."""
        return self.generated is not None and self.generated.OF_UNIVERSE

    @property
    def tested_skills(self) -> tuple[str, ...]:
        """Skills that test items of generated examples are made of."""
        return self.generated.tested_skills if self.generated is not None else ()

    @property
    def question_sets(self) -> frozenset[str]:
        """Sets of questions of generated examples besides the seen and the held-out ones."""
        return self.generated.question_sets if self.generated is not None else frozenset()

    @model_validator(mode="after")
    def _names_differ(self) -> ConversationExamples:
        labels = [source.label for source in self.sources]
        if repeated := next((label for label in labels if labels.count(label) > 1), None):
            raise ValueError(f"examples.sources: two are called {repeated!r}; give each a `name` of its own")
        if sum(isinstance(source, JudgementSource) for source in self.sources) > 1:
            raise ValueError("examples.sources: two are of kind judgements; put their journals into one folder, each file under its name")
        return self

    @property
    def judgements(self) -> JudgementSource | None:
        """The source of judgements; None without one."""
        return next((source for source in self.sources if isinstance(source, JudgementSource)), None)

    def reading(self, without: tuple[str, ...]) -> ConversationIngest:
        """Return the config of the stage that reads them; `without`: ids that are never read."""
        return ConversationIngest(sources=self.sources, max_file_megabytes=self.max_megabytes, without=without)

    @property
    def deduplicating(self) -> DedupConfig:
        """The config of their deduplication, which cuts nothing out of a conversation."""
        return DedupConfig(page=PageRule(enabled=False), exact=self.exact, near=self.near, paragraph=ParagraphRule(enabled=False))

    @property
    def splitting(self) -> SplitConfig:
        """The config of their split into training and validation."""
        return SplitConfig(train=1 - self.validation_fraction, val=self.validation_fraction, test=0, seed=self.seed)


class PictureExamples(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Questions about captioned pictures or sounds: those of the training split are learned, those of the test split are held out."""

    OF_UNIVERSE: ClassVar[bool] = False

    kind: Literal["pictures"] = Field("pictures", description="names this kind of examples")
    seed: int = Field(0, ge=0, description="seed of the order of questions, and of which are kept for validation; integer")
    question: str = Field(
        "What does this picture show?",
        min_length=1,
        description="what is asked of a picture or sound whose caption has no lines `Q: ...` and `A: ...`; the caption answers it; text",
    )
    validation_fraction: float = Field(
        0.05, ge=0, le=0.5, description="share of the training pictures' questions kept for validation; fraction"
    )
    questions: int = Field(400, ge=1, description="most questions in each file of questions; count")

    @property
    def tested_skills(self) -> tuple[str, ...]:
        """Skills that test items are made of: none."""
        return ()

    @property
    def question_sets(self) -> frozenset[str]:
        """Sets of questions besides the seen and the held-out ones: the latter without their pictures, or with frames out of order."""
        return frozenset({"blind", "shuffled"})


ExamplesConfig = Annotated[
    UniverseExamples | CorpusExamples | ConversationExamples | DocumentExamples | PictureExamples | SymbolExamples,
    Field(discriminator="kind"),
]
"""The source of the examples, by `kind`."""

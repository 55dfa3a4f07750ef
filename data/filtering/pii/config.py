"""The settings of personal data redaction. Cheap to import."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

Action = Literal["redact", "drop", "off"]
Identity = Literal[
    "br_cpf", "de_idnr", "es_dni", "es_nie", "fr_nir", "gb_nhs", "it_codicefiscale", "nl_bsn", "pl_pesel", "se_personnummer", "us_ssn"
]
IDENTITIES: tuple[Identity, ...] = (
    "br_cpf", "de_idnr", "es_dni", "es_nie", "fr_nir", "gb_nhs", "it_codicefiscale", "nl_bsn", "pl_pesel", "se_personnummer", "us_ssn",
)  # fmt: skip
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
        description="pipeline of spaCy that finds names (pip install 'folio[names]'): an installed package, such as en_core_web_sm, or a "
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

"""What becomes of personal data. Cheap to import."""

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
KINDS = ("email", "iban", "card", "identity", "ip", "phone")
Region = Annotated[str, Field(pattern="^[A-Z]{2}$")]


class PiiConfig(BaseModel, frozen=True, extra="forbid"):
    """Personal data (PII), replaced by tags as Dolma does (Soldaini et al. 2024, arXiv:2402.00159), or the document removed.

    Actions: redact replaces each; drop removes a document that has more than `drop_above` of the kind, and replaces what a kept one has;
    off looks for none."""

    enabled: bool = Field(False, description="look for personal data")
    email: Action = Field("redact", description="e-mail addresses: redact, drop or off")
    phone: Action = Field("redact", description="telephone numbers, with + or, in `regions`, as written there: redact, drop or off")
    card: Action = Field("redact", description="payment cards whose check digit and issuer are right: redact, drop or off")
    ip: Action = Field("redact", description="public IP addresses, not those of private networks and documentation: redact, drop or off")
    iban: Action = Field("redact", description="bank accounts (IBAN) whose check digits are right: redact, drop or off")
    identity: Action = Field("redact", description="national identity numbers that check: redact, drop or off")
    identities: tuple[Identity, ...] = Field(
        IDENTITIES, description="which national numbers; those that look like any number count only beside a word that names them"
    )
    regions: tuple[Region, ...] = Field(
        (), description="countries whose telephone numbers are found without +, in their own way of writing or beside a word such as phone"
    )
    drop_above: int = Field(0, ge=0, description="how many of a kind to drop for a document may have and stay; finds")
    replacement: str = Field(
        "<{KIND}>",
        pattern=r"^[^0-9@:]*\{KIND\}[^0-9@:]*$",
        description="what a find becomes; {KIND}: EMAIL, PHONE, CARD, IP, IBAN or ID",
    )

    def action(self, kind: str) -> Action:
        """What becomes of a kind."""
        action: Action = getattr(self, kind)
        return action

    @model_validator(mode="after")
    def _every_key_counts(self) -> PiiConfig:
        if self.regions and self.phone == "off":
            raise ValueError("pii.regions does nothing while pii.phone=off")
        if self.identities != IDENTITIES and self.identity == "off":
            raise ValueError("pii.identities does nothing while pii.identity=off")
        if self.drop_above and "drop" not in [self.action(kind) for kind in KINDS]:
            raise ValueError("pii.drop_above does nothing while no kind of personal data has the action drop")
        return self

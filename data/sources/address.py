"""Which addresses a remote source may have: those that can stand in a recipe, which is kept, shown and compared.

Guarantees: no secret gets into a recipe by way of an address; a refusal says where credentials belong. Reads nothing.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

SECRET = re.compile(
    r"sig|signature|token|secret|password|passwd|pwd|credential|access_?key|api_?key|auth|key|x-(amz|goog)-.*", re.IGNORECASE
)
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or what `gcloud auth application-default login` leaves",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
    "http": "~/.netrc",
}
KINDS = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az", "https": "http"}


def family(address: str) -> str:
    """s3, gs, az or http for the schemes that mean these; else the scheme itself."""
    scheme = address.partition("://")[0].lower()
    return KINDS.get(scheme, scheme)


def without_secrets(address: str) -> str:
    """The address itself. Raises ValueError when it is no URL, or holds what looks like a secret."""
    try:
        parts = urlsplit(address)
        secrets = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if SECRET.fullmatch(name)]
        # abfs://container@account.dfs.core.windows.net is how Azure writes a place, not a person.
        user = parts.username if family(address) != "az" else None
        password = parts.password
    except ValueError as error:
        raise ValueError(f"{address!r} is no URL: {error}") from error
    if "::" in address:
        raise ValueError(f"{address!r} is a chain of file systems; give the archive's own URL: archives and compressions are seen by folio")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", address):
        raise ValueError(
            f"{address!r} is no URL, such as https://host/books.zip or s3://bucket/books.jsonl.zst; local files are of kind files"
        )
    if user or password or secrets:
        shown = re.sub(r"//[^/@]*@", "//...@", address).partition("?")[0]
        what = "a user or password" if user or password else f"the query key {secrets[0]!r}, which looks like a secret"
        where = CREDENTIALS.get(family(address), "the environment that its driver reads")
        raise ValueError(f"{shown} holds {what}; recipes are kept and shown, so leave it out. Credentials are read from {where}")
    return address

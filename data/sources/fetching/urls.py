"""Checks the URLs of remote sources: recipes are stored, shown and compared, so a URL must hold no secret.

A refusal says where credentials belong. Nothing is opened.
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
ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az", "https": "http"}
LOCAL = frozenset({"file", "local"})
_USER = re.compile(r"(?<=://)[^/@\s'\"]+(?=@)")
_QUERY = re.compile(r"(?<=[?&])([^=&?#\s'\"]+)=[^&#\s'\"]+")


def hide_secrets(text: str) -> str:
    """Return a text, to be shown, without what its URLs say before an @ and in query keys that look like secrets."""
    return _QUERY.sub(lambda found: f"{found[1]}=..." if SECRET.fullmatch(found[1]) else found[0], _USER.sub("...", text))


def storage_scheme(url: str) -> str:
    """Return s3, gs, az or http for these schemes and their aliases, else the scheme itself."""
    scheme = url.partition("://")[0].lower()
    return ALIASES.get(scheme, scheme)


def reject_secrets(url: str) -> str:
    """Return the URL. Raise ValueError if it is invalid, local, or seems to contain a secret."""
    try:
        parts = urlsplit(url)
        secrets = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if SECRET.fullmatch(name)]
        # In Azure's abfs://container@account.dfs.core.windows.net the part before @ is a container, not a user.
        user = parts.username if storage_scheme(url) != "az" else None
        password = parts.password
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from error
    if "::" in url:
        raise ValueError(f"{url!r} is a chain of file systems; give the archive's own URL: folio opens archives and compressions itself")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", url):
        raise ValueError(
            f"{url!r} is not a URL, such as https://host/books.zip or s3://bucket/books.jsonl.zst; a source of local files has kind: files"
        )
    if storage_scheme(url) in LOCAL:
        raise ValueError(f"{url!r} is a path on this machine; a source of local files has kind: files, which sees when they change")
    if user or password or secrets:
        shown = hide_secrets(url).partition("?")[0]
        what = "a user or password" if user or password else f"the query key {secrets[0]!r}, which looks like a secret"
        where = CREDENTIALS.get(storage_scheme(url), "the environment that its driver reads")
        raise ValueError(f"{shown} holds {what}; recipes are kept and shown, so leave it out. Credentials are read from {where}")
    return url

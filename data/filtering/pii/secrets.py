"""Finds keys and tokens by their shapes: the rules of detect-secrets for the services whose keys have one, private keys and web tokens.

Rules that guess by randomness or by a word such as password are left out: in prose they are wrong more often than right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

LEAST = 20
"""Characters of the shortest key of any service."""
PLUGINS = {
    "aws": "AWSKeyDetector", "azure_storage_key": "AzureStorageKeyDetector", "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector", "gitlab_token": "GitLabTokenDetector", "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector", "openai": "OpenAIDetector", "pypi_token": "PypiTokenDetector", "sendgrid": "SendGridDetector",
    "slack": "SlackDetector", "square_oauth": "SquareOAuthDetector", "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector", "twilio": "TwilioKeyDetector",
}  # fmt: skip
PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----.{20,20000}?-----END \1-----", re.DOTALL)
WEB_TOKEN = re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", re.ASCII)
OWN = (PRIVATE_KEY, WEB_TOKEN)
HINT = "[A-Za-z0-9+/=_.:-]{20}|PRIVATE KEY|npm_"
"""An RE2 pattern that matches every text with a key in it."""


def find_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of every key, in no order; two rules may find the same."""
    for pattern in OWN:
        yield from (match.span() for match in pattern.finditer(text))
    for pattern in _patterns():
        for match in pattern.finditer(text):
            # Some rules match the words around a key too, and group the key.
            groups = [number for number in range(1, (pattern.groups or 0) + 1) if len(match[number] or "") >= LEAST]
            start, end = match.span(groups[0]) if groups else match.span()
            if end - start >= LEAST and not _continues(text, start, end):
                yield start, end


def _continues(text: str, start: int, end: int) -> bool:
    """Return whether a match is a part of a longer word."""
    return (start > 0 and text[start - 1].isalnum()) or (end < len(text) and text[end].isalnum())


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    from importlib import import_module

    detectors = (getattr(import_module(f"detect_secrets.plugins.{module}"), name) for module, name in PLUGINS.items())
    return tuple(pattern for detector in detectors for pattern in detector.denylist)

"""The error of a model directory."""


class ModelError(ValueError):
    """A directory without a model that folio can load and compute."""

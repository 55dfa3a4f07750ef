"""The error of a model directory."""


class ModelError(ValueError):
    """A directory holds no model that can be loaded or computed here."""

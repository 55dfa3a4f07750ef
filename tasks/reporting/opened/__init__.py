"""What the page says of a model that others trained."""

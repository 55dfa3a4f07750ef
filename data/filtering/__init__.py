"""Which documents a model should learn from: language, published heuristics, personal data, block lists, a trained judge."""

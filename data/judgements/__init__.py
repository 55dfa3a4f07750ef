"""Judgements of people on answers: kept line by line, and turned into examples, agreement and ratings."""

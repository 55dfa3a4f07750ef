"""Mixers of tokens: attention, convolutions, state spaces, delta rules and recurrences, each behind one interface."""

"""Token mixers of a block: attention, convolutions, state spaces, delta rules and recurrences, each behind one interface."""

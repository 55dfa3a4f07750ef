"""What mixes the tokens of a block: attention, convolutions, state spaces, delta rules and recurrences, each behind one interface."""

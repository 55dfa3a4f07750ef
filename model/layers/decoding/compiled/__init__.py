"""Writing one token of each row as a single compiled call, for the form of decoder that most are."""

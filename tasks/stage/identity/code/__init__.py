"""What a function reaches in this repository, read from syntax trees: the grain at which code is part of a stage's identity."""

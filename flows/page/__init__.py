"""One page of a home: what ran, what it made, how good that is and what it was made of, read from the store alone."""

-- What is left of every document at the end: its length, and whether no text is left.
CREATE TABLE final (number BIGINT, characters BIGINT, empty BOOLEAN);

-- known: for documents that have copies, the mean share of all documents that hold one of its words.
CREATE TABLE word_count (word UBIGINT, documents BIGINT);
CREATE TABLE known (number BIGINT, share DOUBLE);

-- Every run of `least_words` words in a `batch` (name, item, text): any text that a document shares with it begins with one of these.
INSERT INTO prefix
WITH hashed AS MATERIALIZED (SELECT word_hashes(text) AS hashes FROM batch)
SELECT DISTINCT unnest(first_grams(hashes)) FROM hashed WHERE len(hashes) >= getvariable('least_words');

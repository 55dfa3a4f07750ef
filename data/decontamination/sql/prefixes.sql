-- Every run of `least_words` words in a `batch` (name, item, text): whatever a document shares with it begins with one of these.
INSERT INTO beginning
WITH hashed AS MATERIALIZED (SELECT word_hashes(text) AS hashes FROM batch)
SELECT DISTINCT unnest(first_grams(hashes)) FROM hashed WHERE len(hashes) >= getvariable('least_words');

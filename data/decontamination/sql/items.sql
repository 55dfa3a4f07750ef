-- The n-grams of a `batch` (name, item, text) of evaluation texts: of `most_words` words, or the whole text if it is shorter and has `size`.
INSERT INTO wanted
WITH hashed AS MATERIALIZED (SELECT name, item, word_hashes(text) AS hashes FROM batch),
fitting AS MATERIALIZED (
    SELECT name, item, decon_grams(hashes) AS grams
    FROM hashed
    WHERE len(hashes) = getvariable('size') OR (getvariable('size') = getvariable('most_words') AND len(hashes) > getvariable('most_words')))
SELECT DISTINCT name, item, getvariable('size')::UTINYINT, unnest(grams) FROM fitting;

-- The shingle set of every document of `batch` (number, text) that is in a candidate pair.
INSERT INTO shingle
WITH hashed AS MATERIALIZED (
    SELECT number, word_hashes(text) AS hashes
    FROM batch
    SEMI JOIN (SELECT a AS number FROM candidate UNION SELECT b FROM candidate) USING (number))
SELECT DISTINCT number, unnest(shingles(hashes)) FROM hashed;

-- The held-out n-grams that a `batch` (id, text) of split `part` contains, each with the first document that does. Validation is searched only
-- for n-grams of test.
INSERT INTO seen
WITH hashed AS MATERIALIZED (SELECT id, word_hashes(text) AS hashes FROM batch),
gram_of AS (SELECT id, unnest(audit_grams(hashes)) AS gram FROM hashed)
SELECT getvariable('part'), gram, min(id)
FROM gram_of
SEMI JOIN (SELECT gram FROM held_out WHERE part = 'test' OR getvariable('part') = 'train') AS wanted USING (gram)
GROUP BY gram;

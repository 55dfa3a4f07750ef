-- Which held-out n-grams does a `batch` (id, text) of training documents hold, and in which document first?
INSERT INTO seen
WITH hashed AS MATERIALIZED (SELECT id, word_hashes(text) AS hashes FROM batch),
train_gram AS (SELECT id, unnest(audit_grams(hashes)) AS gram FROM hashed)
SELECT gram, min(id)
FROM train_gram
SEMI JOIN held_out USING (gram)
GROUP BY gram;

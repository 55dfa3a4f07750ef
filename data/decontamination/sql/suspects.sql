-- The documents of a `batch` (id, text) that share a beginning with an item, or all while `direct`; words are hashed once for all n-grams.
CREATE OR REPLACE TEMP TABLE hashed AS SELECT id, word_hashes(text) AS hashes FROM batch;

CREATE OR REPLACE TEMP TABLE suspect AS
WITH gram_of AS (SELECT id, unnest(first_grams(hashes)) AS gram FROM hashed WHERE NOT getvariable('direct'))
SELECT *
FROM hashed
WHERE getvariable('direct') OR id IN (SELECT id FROM gram_of SEMI JOIN beginning USING (gram));

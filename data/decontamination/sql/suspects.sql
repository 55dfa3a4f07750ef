-- The documents of a `batch` (id, text) that share a prefix with an item, or all if `direct`. Words are hashed once for all n-gram sizes.
CREATE OR REPLACE TEMP TABLE hashed AS SELECT id, word_hashes(text) AS hashes FROM batch;

CREATE OR REPLACE TEMP TABLE suspect AS
WITH gram_of AS (SELECT id, unnest(first_grams(hashes)) AS gram FROM hashed WHERE NOT getvariable('direct'))
SELECT *
FROM hashed
WHERE getvariable('direct') OR id IN (SELECT id FROM gram_of SEMI JOIN prefix USING (gram));

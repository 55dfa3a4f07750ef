-- The positions in the documents of `suspect` of n-grams of `size` words that an evaluation set contains.
INSERT INTO hit
WITH windowed AS MATERIALIZED (SELECT id, decon_grams(hashes) AS grams FROM suspect WHERE len(hashes) >= getvariable('size')),
numbered AS (SELECT id, generate_subscripts(grams, 1) AS position, unnest(grams) AS gram FROM windowed)
SELECT id, position, getvariable('size')::UTINYINT, gram
FROM numbered
SEMI JOIN (SELECT gram FROM wanted WHERE size = getvariable('size')) AS sought USING (gram);

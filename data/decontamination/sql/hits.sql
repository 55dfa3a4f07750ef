-- Where the n-grams of `size` words that an evaluation set has stand in the documents of `suspect`.
INSERT INTO hit
WITH windowed AS MATERIALIZED (SELECT id, decon_grams(hashes) AS grams FROM suspect WHERE len(hashes) >= getvariable('size')),
placed AS (SELECT id, generate_subscripts(grams, 1) AS position, unnest(grams) AS gram FROM windowed)
SELECT id, position, getvariable('size')::UTINYINT, gram
FROM placed
SEMI JOIN (SELECT gram FROM wanted WHERE size = getvariable('size')) AS sought USING (gram);

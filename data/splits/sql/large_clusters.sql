-- The clusters of several documents that hold more than all that their held-out split should have: they are never divided, so it has more.
-- asked, found: documents that a person wrote, of the `total` of the corpus.
CREATE TABLE large_cluster AS
WITH size AS (SELECT split, sum(documents)::BIGINT AS found FROM component GROUP BY split),
whole AS (SELECT sum(documents)::BIGINT AS total FROM component),
wanted AS (
    SELECT split, size * CASE getvariable('mode') WHEN 'fractions' THEN total ELSE 1 END AS asked
    FROM (VALUES ('test', getvariable('held_out_test')), ('val', getvariable('held_out_val'))) AS held_out (split, size)
    CROSS JOIN whole
    WHERE getvariable('mode') IN ('fractions', 'counts'))
SELECT split, name AS cluster, documents::BIGINT AS documents, round(asked, 1) AS asked, found, total
FROM component
JOIN wanted USING (split)
JOIN size USING (split)
CROSS JOIN whole
WHERE documents > greatest(1, asked);

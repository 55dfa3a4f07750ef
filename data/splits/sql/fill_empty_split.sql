-- If split `part` has no cluster in `stratum` (or `everywhere`), give it the one whose number is nearest to its range, taken from a split that
-- has more than one.
UPDATE component SET split = getvariable('part'), stand_in = true
WHERE name = (
    WITH here AS (
        SELECT *, count(*) OVER (PARTITION BY split) AS clusters
        FROM component
        WHERE documents > 0 AND (getvariable('everywhere') OR stratum = getvariable('stratum')))
    SELECT name
    FROM here
    WHERE clusters > 1 AND NOT EXISTS (SELECT 1 FROM here WHERE split = getvariable('part'))
    ORDER BY
        CASE getvariable('part')
            WHEN 'test' THEN number
            WHEN 'val' THEN 1 - number
            ELSE greatest(getvariable('test') - number, number - (1 - getvariable('val'))) END,
        digest
    LIMIT 1);

-- If `part` has no cluster in `stratum` (or `everywhere`): the one whose number is nearest to its range, from a part with more than one.
UPDATE family SET place = getvariable('part'), stands_in = true
WHERE name = (
    WITH here AS (
        SELECT *, count(*) OVER (PARTITION BY place) AS beside
        FROM family
        WHERE documents > 0 AND (getvariable('everywhere') OR stratum = getvariable('stratum')))
    SELECT name
    FROM here
    WHERE beside > 1 AND NOT EXISTS (SELECT 1 FROM here WHERE place = getvariable('part'))
    ORDER BY
        CASE getvariable('part')
            WHEN 'test' THEN number
            WHEN 'val' THEN 1 - number
            ELSE greatest(getvariable('test') - number, number - (1 - getvariable('val'))) END,
        digest
    LIMIT 1);

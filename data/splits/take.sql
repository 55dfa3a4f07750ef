-- Whole clusters of `stratum` for `part`, test from the low end and validation from the high end, until `wanted` documents are there.
UPDATE family SET place = getvariable('part')
WHERE name IN (
    WITH row_of AS (
        SELECT
            name,
            sum(documents) OVER (
                ORDER BY CASE getvariable('part') WHEN 'test' THEN digest END, CASE getvariable('part') WHEN 'val' THEN digest END DESC
                ROWS UNBOUNDED PRECEDING) - documents AS before
        FROM family
        WHERE documents > 0 AND place = 'train' AND stratum = getvariable('stratum'))
    SELECT name FROM row_of WHERE before < getvariable('wanted'));

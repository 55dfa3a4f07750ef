-- Assign whole clusters of `stratum` to split `part` until it has `wanted` documents: test from the low end, validation from the high end.
UPDATE component SET split = getvariable('part')
WHERE name IN (
    WITH running AS (
        SELECT
            name,
            sum(documents) OVER (
                ORDER BY CASE getvariable('part') WHEN 'test' THEN digest END, CASE getvariable('part') WHEN 'val' THEN digest END DESC
                ROWS UNBOUNDED PRECEDING) - documents AS before
        FROM component
        WHERE documents > 0 AND split = 'train' AND stratum = getvariable('stratum'))
    SELECT name FROM running WHERE before < getvariable('wanted'));

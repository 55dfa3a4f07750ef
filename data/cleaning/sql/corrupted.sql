-- Lines that are no language: too many symbols, or replacement characters. Ornaments (* * *, -----) are kept: they
-- separate scenes. Short lines are kept: nothing can be measured on them.
WITH measured AS (
    SELECT *, length(line) AS size,
        CASE WHEN regexp_full_match(line, '[A-Za-z0-9 .,;:!?''"()—-]*') THEN 0 ELSE
            length(regexp_replace(line, '[\p{L}\p{M}\p{N} .,;:!?''"()\[\]_*«»—–/&£$-]', '', 'g')) END AS symbols
    FROM lines
), marked AS (
    SELECT *, size >= 6 AND (symbols >= getvariable('corrupted_share') * size OR length(line) - length(replace(line, chr(65533), '')) >= 0.1 * size)
        AND NOT regexp_full_match(line, '[\s*.·•~=_+#—-]+') AS bad
    FROM measured
), judged AS (
    -- Beside a corrupted line half the share is enough: such blocks are torn, not cut.
    SELECT *, bad OR (size > 0 AND symbols >= 0.5 * getvariable('corrupted_share') * size
        AND coalesce(lag(bad) OVER w OR lead(bad) OVER w, false)) AS gone
    FROM marked WINDOW w AS (PARTITION BY d ORDER BY n)
)
SELECT d, n, CASE WHEN NOT gone THEN line END AS line, page, gone::INTEGER AS pieces, CASE WHEN gone THEN size ELSE 0 END AS characters
FROM judged

-- Lines that are not language: too many symbols, or replacement characters. Ornaments (* * *, -----) stay, since they separate scenes.
-- Short lines stay, since nothing can be measured on them.
WITH measured AS (
    SELECT d, n, line, length(line) AS size,
        length(line) - length(regexp_replace(line, '[^\p{L}\p{M}\p{N} .,;:!?''"()\[\]_*«»—–/&£$-]', '', 'g')) AS symbols
    FROM lines WHERE odd
), marked AS (
    SELECT *, size >= 6 AND (symbols >= getvariable('corrupted_share') * size OR length(line) - length(replace(line, chr(65533), '')) >= 0.1 * size)
        AND NOT regexp_full_match(line, '[\s*.·•~=_+#—-]+') AS bad
    FROM measured WHERE symbols > 0
), near AS (
    -- Next to a corrupted line half the share is enough, since such blocks have ragged edges.
    SELECT d, n - 1 AS n FROM marked WHERE bad UNION SELECT d, n + 1 FROM marked WHERE bad
)
SELECT d, n, line AS before, NULL AS line, size AS characters FROM marked
WHERE bad OR (symbols >= 0.5 * getvariable('corrupted_share') * size AND (d, n) IN (FROM near))

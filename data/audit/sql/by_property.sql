-- Documents and characters, as they came in and as they were kept, grouped by the column that replaces $column.
SELECT
    $column,
    coalesce(sum(documents) FILTER (came), 0)::BIGINT, coalesce(sum(size) FILTER (came), 0)::BIGINT,
    coalesce(sum(documents) FILTER (NOT came), 0)::BIGINT, coalesce(sum(size) FILTER (NOT came), 0)::BIGINT
FROM (SELECT true AS came, * FROM composition_in UNION ALL SELECT false, * FROM composition_kept)
GROUP BY 1
ORDER BY 1 NULLS LAST

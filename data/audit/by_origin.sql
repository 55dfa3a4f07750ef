-- Documents and characters, read and kept, by the column that stands for $column.
SELECT
    $column,
    coalesce(sum(documents) FILTER (came), 0)::BIGINT, coalesce(sum(size) FILTER (came), 0)::BIGINT,
    coalesce(sum(documents) FILTER (NOT came), 0)::BIGINT, coalesce(sum(size) FILTER (NOT came), 0)::BIGINT
FROM (SELECT true AS came, * FROM origin_read UNION ALL SELECT false, * FROM origin_kept)
GROUP BY 1
ORDER BY 1 NULLS LAST

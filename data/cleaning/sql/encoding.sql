-- Lines whose repaired form ftfy found (table mojibake) take it.
SELECT l.d, l.n, coalesce(m.repaired, l.line) AS line, l.page,
       (m.repaired IS NOT NULL)::INTEGER AS pieces,
       CASE WHEN m.repaired IS NULL THEN 0 ELSE greatest(length(l.line) - length(m.repaired), 1) END AS characters
FROM lines l LEFT JOIN mojibake m ON m.line = l.line

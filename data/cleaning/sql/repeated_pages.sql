-- Remove a page that equals the one before it (scanned twice). Pages end at their page numbers or form feeds.
WITH numbers AS (
    SELECT d, n, line = chr(12) AS feed FROM lines JOIN furniture USING (d, n) WHERE kind = 'page number'
), paged AS (
    SELECT l.d, l.n, hash(line) AS line, count(CASE WHEN NOT f.feed THEN 1 END) OVER (PARTITION BY l.d ORDER BY l.n ROWS UNBOUNDED PRECEDING) - coalesce(NOT f.feed, false)::INTEGER AS sheet
    FROM lines l SEMI JOIN numbers m ON m.d = l.d LEFT JOIN numbers f ON f.d = l.d AND f.n = l.n WHERE line <> chr(12)
), sheets AS (
    SELECT d, sheet, min(n) AS first, max(n) AS last, count(*) AS size, hash(list(line ORDER BY n)) AS content FROM paged GROUP BY ALL
), repeated AS (
    SELECT d, first, last FROM (SELECT *, lag(content) OVER (PARTITION BY d ORDER BY sheet) AS before FROM sheets)
    WHERE size >= 5 AND content = before
)
SELECT l.d, l.n, line AS before, NULL AS line, length(line) AS characters FROM lines l JOIN repeated r ON r.d = l.d AND l.n BETWEEN r.first AND r.last

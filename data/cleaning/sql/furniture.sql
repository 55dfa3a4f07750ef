-- Page numbers or running heads (whichever kind is asked for) go. The next line of text learns that a page ended
-- before it, so that a paragraph cut by the page can be put together.
WITH judged AS (
    SELECT l.*, f.n IS NOT NULL AS gone FROM lines l LEFT JOIN furniture f ON f.d = l.d AND f.n = l.n AND f.kind = getvariable('kind')
), flagged AS (
    SELECT *, max(n) FILTER (gone) OVER w AS cut, max(n) FILTER (NOT gone AND line <> '') OVER w AS text FROM judged
    WINDOW w AS (PARTITION BY d ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT d, n, CASE WHEN NOT gone THEN line END AS line, page OR (line <> '' AND coalesce(cut, 0) > coalesce(text, 0)) AS page,
       gone::INTEGER AS pieces, CASE WHEN gone THEN length(line) ELSE 0 END AS characters
FROM flagged

-- A page that repeats the page before it to the letter (scanned twice) goes. Pages end at their page numbers or form feeds.
WITH paged AS (
    SELECT l.*, count(*) FILTER (f.kind = 'page number' AND l.line <> chr(12)) OVER w - (f.kind = 'page number' AND l.line <> chr(12))::INTEGER AS sheet
    FROM (SELECT * FROM lines WHERE line <> '' AND line <> chr(12)) l
    LEFT JOIN furniture f USING (d, n)
    WINDOW w AS (PARTITION BY l.d ORDER BY l.n ROWS UNBOUNDED PRECEDING)
), sheets AS (
    SELECT d, coalesce(sheet, 0) AS sheet, min(n) AS first, max(n) AS last, count(*) AS size, md5(string_agg(line, chr(10) ORDER BY n)) AS content
    FROM (SELECT d, n, line, sheet FROM paged) GROUP BY ALL
), repeated AS (
    SELECT d, first, last FROM (SELECT *, lag(content) OVER (PARTITION BY d ORDER BY sheet) AS before FROM sheets)
    WHERE size >= 5 AND content = before
)
SELECT l.d, l.n, CASE WHEN r.d IS NULL OR line = '' THEN line END AS line, page, (r.d IS NOT NULL AND line <> '')::INTEGER AS pieces,
       CASE WHEN r.d IS NOT NULL THEN length(line) ELSE 0 END AS characters
FROM lines l LEFT JOIN repeated r ON r.d = l.d AND l.n BETWEEN r.first AND r.last

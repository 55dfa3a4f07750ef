-- The lines after repairs, without blank ones: blanks is the number of blank lines above in the document. page: a page ended before this
-- line. noted: the line goes on with a note that was set apart.
CREATE OR REPLACE TEMP TABLE lines AS
SELECT d, n, coalesce(s.line, l.line) AS line, size, first_size, odd, block, false AS page, false AS noted,
    (count(CASE WHEN coalesce(s.line, l.line) = '' THEN 1 END) OVER (PARTITION BY d ORDER BY n ROWS UNBOUNDED PRECEDING))::INTEGER AS blanks
FROM lines l LEFT JOIN suspects s USING (d, n)
QUALIFY coalesce(s.line, l.line) <> '';

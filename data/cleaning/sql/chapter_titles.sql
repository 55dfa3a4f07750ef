-- Chapter titles: a short line that begins with the name of a division and its number, in a paragraph of at most three lines. Prose that
-- happens to begin so (Book the second lay open on the ...) goes on longer. Titles are removed, or become Markdown headings once.
WITH titles AS (
    SELECT d, n, line, blanks FROM lines WHERE size <= 80 AND regexp_matches(line, getvariable('division')) AND regexp_matches(line,
        '(?i)^\W*\w+ ([ivxlcdm]+|[0-9]+|the \w+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b') AND NOT regexp_matches(line, '[,;-]$')
), alone AS (
    SELECT d, blanks, min(n) AS n FROM lines SEMI JOIN titles USING (d, blanks) GROUP BY d, blanks HAVING count(*) <= 3
)
SELECT d, n, line AS before, CASE WHEN getvariable('chapter_titles') = 'mark' THEN '# ' || line END AS line,
    CASE WHEN getvariable('chapter_titles') = 'mark' THEN 2 ELSE length(line) END AS characters
FROM titles SEMI JOIN alone USING (d, n)
WHERE getvariable('chapter_titles') = 'drop' OR NOT starts_with(line, '# ')

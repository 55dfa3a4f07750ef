-- Chapter titles, where they are not wanted: a short line that begins with a division's name and its number.
WITH judged AS (
    SELECT *, length(line) <= 80 AND regexp_matches(line,
        '(?i)^\W*(chapter|book|part|act|scene|canto|volume|letter|section) ([ivxlcdm]+|[0-9]+|the \w+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b') AS gone
    FROM lines
)
SELECT d, n, CASE WHEN NOT gone THEN line END AS line, page, gone::INTEGER AS pieces, CASE WHEN gone THEN length(line) ELSE 0 END AS characters
FROM judged

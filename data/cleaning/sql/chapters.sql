-- Chapter titles, where they are not wanted: a short line that begins with a division's name and its number.
SELECT d, n, line AS before, NULL AS line, length(line) AS characters FROM lines
WHERE size <= 80 AND regexp_matches(line,
    '(?i)^\W*(chapter|book|part|act|scene|canto|volume|letter|section) ([ivxlcdm]+|[0-9]+|the \w+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b')

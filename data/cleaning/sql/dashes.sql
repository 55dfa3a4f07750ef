-- One em dash for a typed double hyphen, a bar, or an en dash between spaces or words. Dashes between digits become hyphens
-- (1914-1918). Rows of hyphens (rules, signatures) and a hyphen at the end of a line stay.
WITH changed AS (
    SELECT *, regexp_replace(regexp_replace(regexp_replace(regexp_replace(
            translate(line, '‐‑', '--'),
            '([0-9])[–‒−]([0-9])', '\1-\2', 'g'),
            '[–―]', '—', 'g'),
            '[‒−]', '-', 'g'),
            '(^|[^-])--([^-]|$)', '\1—\2', 'g') AS dashed
    FROM suspects WHERE contains(line, '--') OR regexp_matches(line, '[–―‒−‐‑]')
)
SELECT d, n, line AS before, dashed AS line,
    greatest(length(line) - length(dashed), length(dashed) - length(replace(dashed, '—', '')), 1) AS characters
FROM changed WHERE dashed <> line

-- One em dash for a typed double hyphen, a bar, or an en dash between spaces or words. Dashes between digits become hyphens
-- (1914-1918). An en dash that marks an item of a list in small letters stays. Rows of hyphens (rules, signatures) and a hyphen at the end of a line stay.
WITH changed AS (
    SELECT *, CASE WHEN item THEN '–' ELSE '' END || regexp_replace(regexp_replace(regexp_replace(regexp_replace(
            translate(CASE WHEN item THEN line[2:] ELSE line END, '‐‑', '--'),
            '([0-9])[–‒−]([0-9])', '\1-\2', 'g'),
            '[–―]', '—', 'g'),
            '[‒−]', '-', 'g'),
            '(^|[^-])--([^-]|$)', '\1—\2', 'g') AS dashed
    FROM (SELECT *, regexp_matches(line, '^– [\p{Ll}\p{Lo}]') AS item FROM suspects) WHERE contains(line, '--') OR regexp_matches(line, '[–―‒−‐‑]')
)
SELECT d, n, line AS before, dashed AS line,
    greatest(length(line) - length(dashed), length(dashed) - length(replace(dashed, '—', '')), 1) AS characters
FROM changed WHERE dashed <> line

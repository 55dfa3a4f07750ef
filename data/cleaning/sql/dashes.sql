-- One em dash for a typed double hyphen, a bar, or an en dash between spaces or words. Dashes between digits become
-- hyphens (1914-1918). Rows of hyphens (rules, signatures) and a hyphen at a line's end are left alone.
WITH changed AS (
    SELECT *, CASE WHEN NOT (contains(line, '--') OR regexp_matches(line, '[–―‒−‐‑]')) THEN line ELSE
        regexp_replace(regexp_replace(regexp_replace(regexp_replace(
            translate(line, '‐‑', '--'),
            '([0-9])[–‒−]([0-9])', '\1-\2', 'g'),
            '[–―]', '—', 'g'),
            '[‒−]', '-', 'g'),
            '(^|[^-])--([^-]|$)', '\1—\2', 'g') END AS dashed
    FROM lines
)
SELECT d, n, dashed AS line, page, (dashed <> line)::INTEGER AS pieces,
       CASE WHEN dashed = line THEN 0 ELSE greatest(length(line) - length(dashed), length(dashed) - length(replace(dashed, '—', '')), 1) END AS characters
FROM changed

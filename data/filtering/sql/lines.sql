-- Repetition of lines and paragraphs: what came before in the same document is a duplicate.
CREATE OR REPLACE TEMP TABLE measured AS
WITH piece AS (
    SELECT n, 'line' AS kind, trim(piece) AS piece FROM (SELECT n, unnest(string_split(text, chr(10))) AS piece FROM plain)
    UNION ALL
    SELECT n, 'paragraph', trim(piece, chr(10) || ' ')
    FROM (SELECT n, unnest(string_split_regex(text, getvariable('paragraph_break'))) AS piece FROM plain)
), alike AS (
    SELECT n, kind, hash(piece) AS piece, length(piece) AS size, count(*) AS times FROM piece WHERE piece <> '' GROUP BY ALL
), counted AS (
    SELECT n, kind,
        sum(times) AS pieces, sum(times - 1) AS duplicates,
        sum(times * size) AS characters, sum((times - 1) * size) AS duplicate_characters
    FROM alike GROUP BY n, kind
)
SELECT p.n,
    l.duplicates / l.pieces AS duplicate_lines,
    g.duplicates / g.pieces AS duplicate_paragraphs,
    l.duplicate_characters / l.characters AS duplicate_line_characters,
    g.duplicate_characters / g.characters AS duplicate_paragraph_characters
FROM plain p
LEFT JOIN counted l ON l.n = p.n AND l.kind = 'line'
LEFT JOIN counted g ON g.n = p.n AND g.kind = 'paragraph';

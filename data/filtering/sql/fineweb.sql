-- The measures of FineWeb's rules. \p{Pe} and \p{Pf} are closing brackets and quotes.
CREATE OR REPLACE TEMP TABLE measured AS
WITH line AS (
    SELECT n, trim(line) AS line, count(*) AS times
    FROM (SELECT n, unnest(string_split(text, chr(10))) AS line FROM plain) GROUP BY ALL HAVING line <> ''
), counted AS (
    SELECT n,
        sum(times) AS lines,
        sum(times) FILTER (regexp_matches(line, '[.!?…。！？؟।։]["''\p{Pe}\p{Pf}]*$')) AS punctuated,
        sum(times) FILTER (length(line) < getvariable('short_line')) AS short,
        sum(times * length(line)) AS characters,
        sum((times - 1) * length(line)) AS duplicate_characters
    FROM line GROUP BY n
)
SELECT n,
    coalesce(punctuated, 0) / lines AS punctuated_lines,
    duplicate_characters / characters AS duplicate_characters,
    coalesce(short, 0) / lines AS short_lines
FROM counted;

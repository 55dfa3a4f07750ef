-- The units (paragraphs or lines) of `batch` (number, text) that are long enough, in documents that stay; `unit_break` separates them.
-- Punctuation is removed from all units of a document at once, joined by a character that never separates words: a call for each line
-- would cost four times as much.
INSERT INTO unit
WITH split AS (
    SELECT number, string_split_regex(text, getvariable('unit_break')) AS units
    FROM batch
    SEMI JOIN (SELECT number FROM verdict WHERE rule IS NULL) USING (number)),
numbered AS (SELECT number, generate_subscripts(units, 1) AS position, unnest(units) AS unit FROM split),
long AS (
    SELECT number, list(position ORDER BY position) AS positions, string_agg(replace(unit, chr(1), ' '), chr(1) ORDER BY position) AS text
    FROM numbered
    WHERE length(unit) >= getvariable('unit_min_characters')
    GROUP BY number),
plain AS MATERIALIZED (SELECT number, positions, plain(text) AS text FROM long),
worded AS MATERIALIZED (
    SELECT number, unnest(positions) AS position, array_to_string(spaced(unnest(string_split(text, chr(1)))), ' ') AS words
    FROM plain)
SELECT number, position, md5_number(words) FROM worded WHERE words <> '';

-- The measures of Gopher's quality rules, a row for each document; NULL if there is nothing to measure.
CREATE OR REPLACE TEMP TABLE measured AS
WITH line AS NOT MATERIALIZED (
    SELECT n, unnest(string_split(text, chr(10))) AS line FROM plain
), lines AS (
    SELECT n,
        count(*) AS lines,
        count(*) FILTER (regexp_matches(line, '^ *(?:[•‣◦●▪]|[-*](?: |$))')) AS bulleted,
        count(*) FILTER (rtrim(line) LIKE '%...' OR rtrim(line) LIKE '%…') AS fading
    FROM line WHERE trim(line) <> '' GROUP BY n
), word AS NOT MATERIALIZED (
    SELECT n, unnest(string_split(line, ' ')) AS word FROM line
), words AS (
    SELECT n,
        count(*) AS words,
        sum(length(word)) AS characters,
        -- Most words begin with an ASCII letter, which a comparison finds; only the rest needs RE2.
        count(*) FILTER (
            (word >= 'a' AND word < '{') OR (word >= 'A' AND word < '[') OR regexp_matches(word, '\p{L}')) AS alphabetic
    FROM word WHERE word <> '' GROUP BY n
), whole AS (
    SELECT n,
        length(text) - length(replace(text, '#', '')) AS hashes,
        (length(text) - length(replace(text, '...', ''))) // 3 + length(text) - length(replace(text, '…', '')) AS ellipses,
        regexp_matches(text, '(?i)\bthe\b')::INTEGER + regexp_matches(text, '(?i)\bbe\b')::INTEGER
        + regexp_matches(text, '(?i)\bto\b')::INTEGER + regexp_matches(text, '(?i)\bof\b')::INTEGER
        + regexp_matches(text, '(?i)\band\b')::INTEGER + regexp_matches(text, '(?i)\bthat\b')::INTEGER
        + regexp_matches(text, '(?i)\bhave\b')::INTEGER + regexp_matches(text, '(?i)\bwith\b')::INTEGER AS stop_words
    FROM plain
)
SELECT n,
    coalesce(words, 0) AS words,
    characters / words AS mean_word_length,
    hashes / words AS hashes_a_word,
    ellipses / words AS ellipses_a_word,
    bulleted / lines AS bullet_lines,
    fading / lines AS ellipsis_lines,
    alphabetic / words AS alphabetic_words,
    stop_words
FROM whole LEFT JOIN words USING (n) LEFT JOIN lines USING (n);

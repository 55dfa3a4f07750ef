-- The measures of Gopher's rules of quality, a row a document; NULL where there is nothing to measure.
CREATE OR REPLACE TEMP TABLE measured AS
WITH line AS NOT MATERIALIZED (
    SELECT n, unnest(string_split(text, chr(10))) AS line FROM plain
), lines AS (
    SELECT n,
        count(*) AS lines,
        count(*) FILTER (regexp_matches(ltrim(line), '^(?:[•‣◦●▪]|[-*] )')) AS bulleted,
        count(*) FILTER (rtrim(line) LIKE '%...' OR rtrim(line) LIKE '%…') AS fading
    FROM line WHERE trim(line) <> '' GROUP BY n
), word AS NOT MATERIALIZED (
    SELECT n, unnest(string_split(line, ' ')) AS word FROM line
), words AS (
    SELECT n,
        count(*) AS words,
        sum(length(word)) AS characters,
        -- One RE2 class is quick for the letters of most words; the large one is asked about the rest.
        count(*) FILTER (regexp_matches(word, '[A-Za-z]') OR regexp_matches(word, '\p{L}')) AS alphabetic
    FROM word WHERE word <> '' GROUP BY n
), counted AS (
    SELECT p.n, w.words, w.characters, w.alphabetic, l.lines, l.bulleted, l.fading,
        length(text) - length(replace(text, '#', '')) AS hashes,
        (length(text) - length(replace(text, '...', ''))) // 3 + length(text) - length(replace(text, '…', '')) AS ellipses,
        list_sum(list_transform(
            ['(?i)\bthe\b', '(?i)\bbe\b', '(?i)\bto\b', '(?i)\bof\b', '(?i)\band\b', '(?i)\bthat\b', '(?i)\bhave\b', '(?i)\bwith\b'],
            lambda stop: regexp_matches(text, stop)::INTEGER)) AS stop_words
    FROM plain p LEFT JOIN words w USING (n) LEFT JOIN lines l USING (n)
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
FROM counted;

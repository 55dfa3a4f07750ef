-- Words that a machine misread, and what they were: table misread(wrong, right).
-- A form is misread when one known confusion of shapes turns it into a word that the corpus uses often, and far oftener than
-- the form itself. Pairs whose both sides are everyday words (cl and d: clay, day) are left out on purpose.
CREATE OR REPLACE TABLE misread AS
WITH confusions(seen, meant, digit) AS (
    VALUES ('1', 'l', true), ('1', 'i', true), ('0', 'o', true), ('5', 's', true), ('rn', 'm', false), ('m', 'rn', false), ('vv', 'w', false), ('tb', 'th', false)
), places AS (
    SELECT word, times, seen, meant, digit, unnest(generate_series(1, length(word) - length(seen) + 1)) AS place
    FROM words JOIN confusions ON contains(word, seen)
    WHERE length(word) BETWEEN 3 AND 40 AND NOT contains(word, '-') AND regexp_matches(word, '\p{L}') AND (digit OR length(word) >= 4 OR seen = 'tb')
), one AS (
    SELECT word, times, digit, word[1:place - 1] || meant || word[place + length(seen):] AS repaired
    FROM places WHERE word[place:place + length(seen) - 1] = seen
    UNION
    SELECT word, times, true, replace(replace(word, '1', l), '0', 'o') FROM words, (VALUES ('l'), ('i')) AS v(l)
    WHERE regexp_full_match(word, '[\p{L}01]+') AND regexp_matches(word, '\p{L}') AND regexp_matches(word, '[01].*[01]')
), judged AS (
    SELECT o.word AS wrong, o.repaired AS right_word, c.times,
        row_number() OVER (PARTITION BY o.word ORDER BY c.times DESC, o.repaired) AS choice
    FROM one o JOIN words c ON c.word = o.repaired
    WHERE NOT regexp_matches(o.repaired, '\p{N}') AND NOT regexp_full_match(o.word, '[0-9]+(st|nd|rd|th|s|d|l)')
        AND CASE WHEN digit THEN c.times >= 2 AND c.times > o.times ELSE c.times >= getvariable('ocr_known') AND c.times >= getvariable('ocr_ratio') * o.times END
)
SELECT wrong, right_word FROM judged WHERE choice = 1;

-- Blocks that hold such a form, in pieces, put together again. Capitals are kept.
CREATE OR REPLACE TABLE reread AS
WITH tokens AS (
    SELECT d, n, unnest(regexp_extract_all(lower(line), '[\p{L}\p{N}]+')) AS word FROM blocks
), hit AS (
    SELECT DISTINCT d, n FROM tokens WHERE word IN (SELECT wrong FROM misread)
), pieces AS (
    SELECT d, n, unnest(list) AS piece, unnest(generate_series(1, len(list))) AS place
    FROM (SELECT d, n, regexp_extract_all(line, '[\p{L}\p{N}]+|[^\p{L}\p{N}]+') AS list FROM blocks JOIN hit USING (d, n))
), mended AS (
    SELECT p.*, CASE WHEN right_word IS NULL THEN piece
        WHEN length(piece) > 2 AND piece = upper(piece) AND piece <> lower(piece) AND NOT regexp_matches(piece, '\p{Ll}') THEN upper(right_word)
        WHEN piece[1] = upper(piece[1]) AND piece[1] <> lower(piece[1]) THEN upper(right_word[1]) || right_word[2:]
        ELSE right_word END AS repaired, right_word IS NOT NULL AS changed
    FROM pieces p LEFT JOIN misread ON wrong = lower(piece)
)
SELECT d, n, string_agg(repaired, '' ORDER BY place) AS line, count(*) FILTER (changed)::INTEGER AS pieces,
       sum(CASE WHEN changed THEN greatest(length(piece), length(repaired)) ELSE 0 END)::BIGINT AS characters
FROM mended GROUP BY d, n;

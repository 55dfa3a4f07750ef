-- Words that a machine misread, and what they were: table misread(wrong, right_word).
-- A form is misread when one known confusion of shapes turns it into a word that the corpus uses often, and far oftener than
-- the form itself. Pairs whose both sides are everyday words (cl and d: clay, day) are left out on purpose.
CREATE OR REPLACE TEMP TABLE misread AS
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

-- Each run of characters that holds such a form, in pieces, as it should be. Capitals are kept.
CREATE OR REPLACE TEMP TABLE reread AS
WITH tokens AS (
    SELECT chunk, unnest(regexp_extract_all(chunk, '[\p{L}\p{N}]+')) AS word FROM counts
), hit AS (
    SELECT DISTINCT chunk FROM tokens SEMI JOIN misread ON wrong = lower(word)
), pieces AS (
    SELECT chunk, unnest(list) AS piece, unnest(generate_series(1, len(list))) AS place
    FROM (SELECT chunk, regexp_extract_all(chunk, '[\p{L}\p{N}]+|[^\p{L}\p{N}]+') AS list FROM hit)
)
SELECT chunk, place::INTEGER AS place, piece, right_word IS NOT NULL AS changed, CASE WHEN right_word IS NULL THEN piece
    WHEN length(piece) > 2 AND piece = upper(piece) AND piece <> lower(piece) AND NOT regexp_matches(piece, '\p{Ll}') THEN upper(right_word)
    WHEN piece[1] = upper(piece[1]) AND piece[1] <> lower(piece[1]) THEN upper(right_word[1]) || right_word[2:]
    ELSE right_word END AS repaired
FROM pieces LEFT JOIN misread ON wrong = lower(piece);

CREATE OR REPLACE TEMP TABLE corrections AS SELECT chunk, string_agg(repaired, '' ORDER BY place) AS corrected FROM reread GROUP BY chunk;

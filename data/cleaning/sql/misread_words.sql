-- Words that a machine misread, and what they were: table misread(wrong, right_word, sure).
-- A form is misread when one known confusion of shapes turns it into a word that the corpus knows, and oftener than the form itself.
-- sure: it is wrong in any document, since no word is written so (c1ay, VVith). The others (modem, thern) may be words of their own;
-- they count in documents that a machine is known to have misread. A form without a capital can't stand for a word that has always one
-- (torn, Tom). Pairs whose both sides are everyday words (cl and d: clay, day) are left out on purpose.
CREATE OR REPLACE TEMP TABLE misread AS
WITH confusions(seen, meant, digit, sure) AS (
    VALUES ('1', 'l', true, true), ('1', 'i', true, true), ('0', 'o', true, true), ('5', 's', true, true), ('vv', 'w', false, true),
        ('tb', 'th', false, false), ('rn', 'm', false, false), ('m', 'rn', false, false)
), places AS (
    SELECT word, times, small, seen, meant, digit, sure, unnest(generate_series(1, length(word) - length(seen) + 1)) AS place
    FROM words JOIN confusions ON contains(word, seen)
    WHERE length(word) BETWEEN 3 AND 40 AND NOT contains(word, '-') AND regexp_matches(word, '\p{L}')
), one AS (
    SELECT word, times, small, digit, sure, word[1:place - 1] || meant || word[place + length(seen):] AS repaired
    FROM places WHERE word[place:place + length(seen) - 1] = seen
    UNION
    SELECT word, times, small, true, true, replace(replace(word, '1', l), '0', 'o') FROM words, (VALUES ('l'), ('i')) AS v(l)
    WHERE regexp_full_match(word, '[\p{L}01]+') AND regexp_matches(word, '\p{L}') AND regexp_matches(word, '[01].*[01]')
), judged AS (
    SELECT o.word AS wrong, o.repaired AS right_word, sure, CASE WHEN o.small > 0 AND NOT digit THEN c.small ELSE c.times END AS known, o.times, digit
    FROM one o JOIN words c ON c.word = o.repaired
    WHERE NOT regexp_matches(o.repaired, '\p{N}') AND NOT regexp_full_match(o.word, '[0-9]+(st|nd|rd|th|s|d|l)')
)
SELECT wrong, first(right_word ORDER BY known DESC, right_word) AS right_word, first(sure ORDER BY known DESC, right_word) AS sure FROM judged
WHERE CASE WHEN digit THEN known >= 2 AND known > times ELSE known >= getvariable('ocr_known') AND known >= getvariable('ocr_ratio') * times END
GROUP BY wrong;

-- Each run of characters that holds such a form, in pieces, as it should be. Capitals are kept.
CREATE OR REPLACE TEMP TABLE reread AS
WITH hit AS (
    SELECT DISTINCT chunk FROM (SELECT chunk, unnest(regexp_extract_all(chunk, '[\p{L}\p{N}]+')) AS word FROM counts) SEMI JOIN misread ON wrong = lower(word)
), pieces AS (
    SELECT chunk, unnest(list) AS piece, unnest(generate_series(1, len(list))) AS place
    FROM (SELECT chunk, regexp_extract_all(chunk, '[\p{L}\p{N}]+|[^\p{L}\p{N}]+') AS list FROM hit)
)
SELECT chunk, place::INTEGER AS place, piece, sure, CASE WHEN right_word IS NULL THEN piece
    WHEN length(piece) > 2 AND piece = upper(piece) AND piece <> lower(piece) AND NOT regexp_matches(piece, '\p{Ll}') THEN upper(right_word)
    WHEN piece[1] = upper(piece[1]) AND piece[1] <> lower(piece[1]) THEN upper(right_word[1]) || right_word[2:]
    ELSE right_word END AS repaired
FROM pieces LEFT JOIN misread ON wrong = lower(piece);

CREATE OR REPLACE TEMP TABLE corrections AS
SELECT chunk, string_agg(repaired, '' ORDER BY place) AS corrected, string_agg(CASE WHEN sure THEN repaired ELSE piece END, '' ORDER BY place) AS surely,
    bool_or(coalesce(sure, false)) AS sure, coalesce(bool_or(sure AND regexp_matches(piece, '\p{N}')), false) AS digit
FROM reread GROUP BY chunk;

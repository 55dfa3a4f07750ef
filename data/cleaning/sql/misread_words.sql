-- Words that OCR misread, and what they should be: table misread (wrong, right_word, sure).
-- A form is misread if one known confusion of shapes turns it into a word that the shard knows and uses more often.
-- sure: wrong in any document, since no word is written so (c1ay, VVith). The others (modem, thern) may be words of their own, so they are
-- corrected only in documents that are known to be misread. A form without a capital isn't corrected to a word that always has one
-- (torn, Tom). Pairs of two everyday words (cl and d: clay, day) are left out on purpose.
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

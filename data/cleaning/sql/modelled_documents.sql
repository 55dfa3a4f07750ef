-- English documents that OCR misread, by the word model (tables modelled, reread, word_list): it finds eight different forms in them, and one
-- word in a thousand. In right text it finds fewer: dialects have forms that are in no list, but few that look like common words. Of a text in
-- another language it would find many, so four of five words must be in the list.
INSERT INTO machine_read
WITH forms AS (
    SELECT DISTINCT chunk FROM reread SEMI JOIN modelled ON wrong = lower(token)
), seen AS (
    SELECT d, unnest(string_split(line, ' ')) AS chunk FROM lines ANTI JOIN machine_read USING (d) WHERE NOT block
), chunks AS (
    SELECT d, chunk, count(*) AS times FROM seen GROUP BY d, chunk
), counted AS (
    SELECT d, sum(times) AS words, sum(times) FILTER (f.chunk IS NOT NULL) AS found, count(f.chunk) AS forms,
        sum(times) FILTER (l.word IS NOT NULL) AS listed
    FROM chunks c LEFT JOIN forms f ON f.chunk = c.chunk LEFT JOIN word_list l ON l.word = lower(regexp_extract(c.chunk, '\p{L}+')) GROUP BY d
)
SELECT d FROM counted WHERE forms >= 8 AND 1000 * found >= words AND 5 * listed >= 4 * words;

-- Places where the word model is not to be followed (table doubted): a half of a word that is broken by a hyphen; a name, which has a capital
-- within a sentence; and a word among others that are in no list, as in a quotation in another language.
CREATE OR REPLACE TEMP TABLE doubted AS
WITH unsure AS (
    SELECT DISTINCT chunk FROM reread WHERE sure = false
), hit AS (
    SELECT DISTINCT d, n FROM (SELECT d, n, unnest(string_split(line, ' ')) AS chunk FROM lines WHERE NOT block) SEMI JOIN unsure USING (chunk)
), torn AS (
    SELECT d, n, joint, unnest(parts) AS chunk, unnest(generate_series(1, len(parts)))::INTEGER AS place
    FROM (SELECT d, n, joint, string_split(line, ' ') AS parts FROM lines SEMI JOIN hit USING (d, n) JOIN joints USING (d, n))
), told AS (
    SELECT t.*, u.chunk IS NOT NULL AS unsure, t.chunk SIMILAR TO '.*\p{L}-' AS cut,
        l.word IS NULL AND c.chunk IS NULL AND coalesce(w.times, 0) < 10 AND regexp_matches(t.chunk, '\p{L}') AS strange,
        regexp_matches(t.chunk, '^\p{Lu}.*\p{Ll}') AS capital, regexp_matches(t.chunk, '[.!?:]["'')\]_]*$') AS ends
    FROM torn t LEFT JOIN unsure u ON u.chunk = t.chunk LEFT JOIN corrections c ON c.chunk = t.chunk
    LEFT JOIN word_list l ON l.word = lower(regexp_extract(t.chunk, '\p{L}+')) LEFT JOIN words w ON w.word = lower(regexp_extract(t.chunk, '\p{L}+'))
), judged AS (
    SELECT d, n, place, unsure, cut OR coalesce(lag(cut) OVER w, false) AS half,
        capital AND NOT coalesce(lag(ends) OVER w, joint NOT IN ('space', 'bare')) AS named,
        sum(strange::INTEGER) OVER (PARTITION BY d, n ORDER BY place ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING) AS strangers
    FROM told WINDOW w AS (PARTITION BY d, n ORDER BY place)
)
SELECT d, n, place FROM judged WHERE unsure AND (half OR named OR strangers >= 2);

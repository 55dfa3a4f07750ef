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

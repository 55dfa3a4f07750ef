-- Tables of contents. An entry ends in a page number, or the line, its title or its number occurs again later as a line of its own
-- (CHAPTER I. The Mill, and later: CHAPTER I). A table has a heading that says so and at least three entries, with at most two other
-- lines between them; or it has no heading, and at least six lines with dot leaders to page numbers that never decrease.
-- A list of prices has numbers, too: those of pages are headed so, or there is text enough behind them for so many pages; without a heading the
-- entries are counted, or their titles occur again.
-- It ends where its first entry occurs again: there the book begins.
WITH room AS (
    SELECT d, sum(size) AS characters FROM lines GROUP BY d
), headings AS (
    SELECT d, min(n) AS heading FROM lines
    WHERE size <= 40 AND regexp_matches(line, '(?i)^\W*((table of )?contents|inhalt(sverzeichnis)?|table des mati[eè]res|inhoud(sopgave)?)\W*$') GROUP BY d
), leaders AS (
    SELECT d, n, try_cast(regexp_extract(line, '([0-9]{1,4})$', 1) AS INTEGER) AS number, n - lag(n) OVER (PARTITION BY d ORDER BY n) AS step FROM lines
    WHERE size <= 120 AND regexp_matches(line, '[.…] ?[0-9]{1,4}$') AND regexp_matches(line, '(\.{3,}|…|(\. ){2,}\.) ?[0-9]{1,4}$')
), runs AS (
    SELECT *, count(CASE WHEN step IS NULL OR step > 4 THEN 1 END) OVER (PARTITION BY d ORDER BY n ROWS UNBOUNDED PRECEDING) AS run,
        number < lag(number) OVER (PARTITION BY d ORDER BY n) AND step <= 4 AS falls
    FROM leaders
), led AS (
    SELECT r.d, run FROM runs r JOIN lines l ON l.d = r.d AND l.n = r.n JOIN room ON room.d = r.d
    GROUP BY r.d, run HAVING count(*) >= 6 AND NOT coalesce(bool_or(falls), false)
        AND (first(characters) >= 500 * max(number) OR 2 * count(*) FILTER (regexp_matches(line, getvariable('division')) OR regexp_matches(line, '^\W*[IVXLC]+\b'))
            >= count(*) OR count(DISTINCT regexp_extract(line, '^[^0-9]*?([0-9]+)\b.*[.…] ?[0-9]', 1)) FILTER (regexp_matches(line, '^[^0-9]*?[0-9]+\b.*[.…] ?[0-9]')) >= 0.8 * count(*))
), below AS (
    SELECT l.d, l.n, heading, row_number() OVER (PARTITION BY l.d ORDER BY l.n) AS k, size > 120 AS long,
        regexp_matches(line, '[ .…]([0-9]{1,4}|x{1,3}(?:ix|iv|v?i{0,3})|ix|iv|vi{0,3}|i{1,3})$') AS numbered,
        try_cast(regexp_extract(line, '[ .…]([0-9]{1,4})$', 1) AS INTEGER) AS number,
        trim(regexp_replace(lower(regexp_replace(line, '[ .…]+([0-9]{1,4}|x{1,3}(?:ix|iv|v?i{0,3})|ix|iv|vi{0,3}|i{1,3})$', '')), '[^\p{L}\p{N}]+', ' ', 'g')) AS words,
        trim(regexp_replace(lower(line), '[^\p{L}\p{N}]+', ' ', 'g')) AS said
    FROM lines l JOIN headings h ON h.d = l.d AND l.n > heading
), paged AS (
    SELECT d FROM below JOIN room USING (d) GROUP BY d, characters
    HAVING bool_or(k <= 3 AND said IN ('page', 'pages', 'seite', 'bladzijde')) OR characters >= 500 * coalesce(max(number) FILTER (k <= 30), 0)
), upper_part AS MATERIALIZED (
    SELECT d, n, heading, k, long, numbered AND d IN (FROM paged) AS numbered, words FROM below WHERE k <= 400
), forms AS (
    -- The whole entry, the entry without its number, and the division's name and number alone.
    SELECT d, k, words AS said FROM upper_part WHERE length(words) >= 3
    UNION SELECT d, k, regexp_replace(words, getvariable('numeral') || ' ', '') FROM upper_part WHERE regexp_matches(words, getvariable('numeral') || ' \w{3}')
    UNION SELECT d, k, regexp_extract(words, getvariable('numeral')) FROM upper_part WHERE regexp_matches(words, getvariable('division')) AND regexp_matches(words, getvariable('numeral') || '\b')
), again AS MATERIALIZED (
    SELECT f.d, f.k, b.k AS place FROM forms f JOIN below b USING (d, said) WHERE b.k > f.k
), books AS (
    SELECT d, first(place ORDER BY k, place) AS book FROM again GROUP BY d
), entries AS (
    SELECT u.*, book, numbered OR (u.d, u.k) IN (SELECT d, k FROM again JOIN books USING (d) WHERE place >= book) AS entry FROM upper_part u LEFT JOIN books USING (d)
), tables AS (
    SELECT *, coalesce(bool_or(long OR k >= book) OVER w, false) OR coalesce(max(strangers) OVER w, 0) >= 3 AS over
    FROM (SELECT *, count(CASE WHEN NOT entry THEN 1 END) OVER (PARTITION BY d ORDER BY k ROWS 2 PRECEDING) AS strangers FROM entries)
    WINDOW w AS (PARTITION BY d ORDER BY k ROWS UNBOUNDED PRECEDING)
), ends AS (
    SELECT d, heading, max(n) FILTER (entry) AS last FROM tables WHERE NOT over GROUP BY d, heading HAVING count(*) FILTER (entry) >= 3
), gone AS (
    SELECT l.d, l.n FROM lines l JOIN ends e ON e.d = l.d AND l.n BETWEEN heading AND last
    UNION SELECT d, n FROM runs SEMI JOIN led USING (d, run)
)
SELECT d, n, line AS before, NULL AS line, length(line) AS characters FROM lines JOIN gone USING (d, n)

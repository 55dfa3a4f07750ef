-- Evidence for pages, before anything is removed: table furniture(d, n, kind) of page numbers and running heads.
-- A number is a page number when it stands alone, a neighbour counts on from it at a page's distance, and the numbers of
-- its document interrupt sentences, as chapters and stanzas never do, or are set off (- 12 -, [12], Page 12).
CREATE OR REPLACE TABLE furniture AS
WITH dense AS (
    SELECT d, n, line, row_number() OVER (PARTITION BY d ORDER BY n) AS k FROM lines WHERE line <> ''
), found AS (
    SELECT *, line = chr(12) AS feed,
        CASE WHEN length(line) <= 24 THEN try_cast(regexp_extract(line,
            '(?i)^(?:[\[({<|*~=—-]+ ?)?(?:(?:page|pag|pg|p)\.? ?)?([0-9]{1,4})(?: ?(?:of|/) ?[0-9]{1,4})?(?: ?[\])}>|*~=—-]+)?\.?$', 1) AS INTEGER) END AS number,
        CASE WHEN length(line) <= 90 THEN try_cast(coalesce(
            nullif(regexp_extract(line, '^[\[(]?([0-9]{1,4})[\])]?[ .|—-]+\D{3,}$', 1), ''),
            nullif(regexp_extract(line, '^\D{3,}?[ .|—-]+[\[(]?([0-9]{1,4})[\])]?$', 1), '')) AS INTEGER) END AS beside,
        CASE WHEN length(line) <= 90 AND line <> chr(12) THEN trim(regexp_replace(upper(line), '[^\p{L}]+', ' ', 'g')) END AS name
    FROM dense
), numbers AS (
    SELECT *, coalesce(number, beside) AS value FROM found WHERE number IS NOT NULL OR beside IS NOT NULL
), chained AS (
    SELECT p.d, p.n, p.k, p.number,
        bool_or(abs(q.k - p.k) >= getvariable('page_lines') * greatest(abs(q.value - p.value), 1)) AS chained
    FROM numbers p JOIN numbers q ON q.d = p.d AND q.k <> p.k AND abs(q.k - p.k) <= 90 * greatest(abs(q.value - p.value), 1)
        AND (q.k - p.k) * (q.value - p.value) >= 0 AND abs(q.value - p.value) <= 3
        AND (p.number IS NULL) = (q.number IS NULL) AND (p.number IS NOT NULL OR p.name = q.name)
    GROUP BY ALL
), before AS (
    SELECT c.*, f.line, f.name,
        regexp_matches(coalesce(lag(f.line) OVER w, '.'), '[\p{L},;-]$') AND length(coalesce(lag(f.line) OVER w, '')) > 30 AS interrupts
    FROM found f LEFT JOIN chained c USING (d, n) WINDOW w AS (PARTITION BY f.d ORDER BY f.k)
), numbered AS (
    SELECT d FROM before WHERE chained AND number IS NOT NULL GROUP BY d
    HAVING count(*) >= 2 AND (avg(interrupts::INTEGER) >= 0.2 OR avg(regexp_matches(line, '(?i)^([\[({<|*~=—-]|p)')::INTEGER) >= 0.8)
), page_numbers AS (
    SELECT d, n, k, 'page number' AS kind FROM before WHERE chained AND number IS NOT NULL AND d IN (SELECT d FROM numbered)
    UNION ALL SELECT d, n, k, 'page number' FROM found WHERE feed
    -- What carries the same set-off as the document's page numbers but lost its neighbours is one of them.
    UNION ALL SELECT f.d, f.n, f.k, 'page number' FROM found f WHERE f.number IS NOT NULL AND f.d IN (SELECT d FROM numbered)
        AND regexp_matches(f.line, '(?i)^([\[({<|*~=—-]|p)') AND NOT EXISTS (FROM before b WHERE b.d = f.d AND b.n = f.n AND b.chained)
), near AS (
    SELECT DISTINCT f.d, f.n FROM found f JOIN page_numbers p ON p.d = f.d AND f.k BETWEEN p.k - 2 AND p.k + 2 AND f.k <> p.k
), occurrences AS (
    SELECT f.d, f.n, f.k, f.name, f.line, f.beside, a.n IS NOT NULL AS adjacent,
        f.k - lag(f.k) OVER w AS gap, row_number() OVER w AS nth,
        f.beside - lag(f.beside) OVER w AS step,
        regexp_matches(coalesce(lag(f.line) OVER v, '.'), '[\p{L},;-]$') AS interrupts
    FROM found f LEFT JOIN near a USING (d, n) WHERE f.name IS NOT NULL AND length(f.name) >= 3 AND f.number IS NULL
    WINDOW w AS (PARTITION BY f.d, f.name ORDER BY f.k), v AS (PARTITION BY f.d ORDER BY f.k)
), names AS (
    SELECT d, name, avg(adjacent::INTEGER) AS adjacency, count(*) AS times,
        count(*) FILTER (beside IS NOT NULL) >= 2 AND count(*) FILTER (step BETWEEN 0 AND 4 AND gap >= getvariable('page_lines')) >= 1 AS counts,
        count(*) >= 4 AND avg(gap) >= getvariable('page_lines') AND stddev_pop(gap) <= 0.2 * avg(gap) AND avg(interrupts::INTEGER) >= 0.25 AS rhythmic
    FROM occurrences GROUP BY d, name HAVING count(*) >= 2
), heads AS (
    SELECT o.d, o.n, 'running head' AS kind FROM occurrences o JOIN names m USING (d, name)
    WHERE (m.adjacency >= 0.5 AND o.adjacent) OR (m.counts AND o.beside IS NOT NULL) OR (m.rhythmic AND o.k > 5)
)
SELECT d, n, min(kind) AS kind FROM (SELECT d, n, kind FROM page_numbers UNION ALL SELECT d, n, kind FROM heads) GROUP BY d, n;

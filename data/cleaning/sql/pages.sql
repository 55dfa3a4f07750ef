-- Page furniture, found before any of it is removed: fills furniture (d, n, kind) with page numbers and running heads, for the documents in
-- table stale.
-- A number is a page number if it is alone on its line, a neighbouring one counts on from it at the distance of a page, and the numbers of
-- its document interrupt sentences, as chapter and stanza numbers never do; or are set off (- 12 -, [12], Page 12); or come as regularly as
-- pages and either interrupt a sentence once or are next to form feeds or a line that occurs again and again.
-- A sentence is interrupted only where a line of prose is full: stanzas, lists and numbered sections have lines without a stop, too. Lines that
-- recur are heads where most lines of the document are full, or are whole paragraphs; elsewhere they may be refrains, and one line before several
-- numbers is a refrain, no sentence that they interrupt.
-- With roman_numbers a small Roman numeral is a number too.
-- Only documents with a number on a short line, a form feed or a short line that occurs four times can have any.
CREATE OR REPLACE TEMP TABLE short_lines AS
SELECT d, n, hash(lower(line)) AS said, line = chr(12) OR regexp_matches(line, '[0-9]')
    OR (getvariable('roman_numbers') AND regexp_full_match(line, '[\[({<|*~=—-]* ?[ivxlc]+ ?[\])}>|*~=—.-]*')) AS numbered FROM lines SEMI JOIN stale USING (d) WHERE length(line) <= 90;

CREATE OR REPLACE TEMP TABLE often AS SELECT d, said FROM short_lines GROUP BY d, said HAVING count(*) >= 4;

CREATE OR REPLACE TEMP TABLE set_in_lines AS
WITH measured AS (
    SELECT d, n, blanks, size, first_size FROM lines
    SEMI JOIN (SELECT d FROM short_lines WHERE numbered UNION SELECT d FROM often) USING (d) WHERE line <> chr(12)
), widths AS (
    SELECT d, coalesce(quantile_disc(size, 0.97) FILTER (size <= getvariable('wrap_limit')), 0) AS width FROM measured GROUP BY d
), followed AS (
    SELECT d, size, blanks = lead(blanks) OVER w AS inside, size + 1 + lead(first_size) OVER w AS room FROM measured WINDOW w AS (PARTITION BY d ORDER BY n)
)
SELECT d, width, sum(CASE WHEN size > getvariable('wrap_limit') THEN 2 WHEN NOT inside THEN 0 WHEN room > width THEN 1.3 WHEN room > 0.7 * width THEN -0.5 ELSE -3.1 END) > 0
    AND (width >= 40 OR bool_or(size > getvariable('wrap_limit'))) AS flows
FROM followed JOIN widths USING (d) GROUP BY d, width;

CREATE OR REPLACE TEMP TABLE placed AS
WITH seen AS (
    SELECT d, n, length(line) AS size, regexp_matches(line, '[\p{L},;-]$') AS open, regexp_matches(line, '^["''(]*\p{Ll}') AS small FROM lines
    SEMI JOIN (SELECT d FROM short_lines WHERE numbered UNION SELECT d FROM often) USING (d)
)
SELECT d, n, said, coalesce(numbered, false) AS numbered, row_number() OVER w AS k, coalesce(lag(open AND size > 0.75 * width) OVER w, false) AS interrupts,
    coalesce(lag(size) OVER w, 0) AS before_size, lag(said) OVER w AS before_said, coalesce(lead(small) OVER w, false) AS goes_on
FROM seen LEFT JOIN short_lines USING (d, n) LEFT JOIN set_in_lines USING (d) WINDOW w AS (PARTITION BY d ORDER BY n);

CREATE OR REPLACE TEMP TABLE found AS
SELECT placed.*, line, line = chr(12) AS feed,
    coalesce(CASE WHEN length(line) <= 24 THEN try_cast(regexp_extract(line,
        '(?i)^(?:[\[({<|*~=—-]+ ?)?(?:(?:page|pag|pg|p)\.? ?)?([0-9]{1,4})(?: ?(?:of|/) ?[0-9]{1,4})?(?: ?[\])}>|*~=—-]+)?\.?$', 1) AS INTEGER) END, roman.value) AS number,
    CASE WHEN regexp_matches(line, '^[\[(]?[0-9]|[0-9][\])]?$') THEN try_cast(coalesce(
        nullif(regexp_extract(line, '^[\[(]?([0-9]{1,4})[\])]?[ .|—-]+\D{3,}$', 1), ''),
        nullif(regexp_extract(line, '^\D{3,}?[ .|—-]+[\[(]?([0-9]{1,4})[\])]?$', 1), '')) AS INTEGER) END AS beside,
    regexp_matches(line, '(?i)^([\[({<|*~=—-]|p)') AS set_off, regexp_matches(line, '^[\[(]') AS bracketed
FROM placed JOIN lines USING (d, n)
LEFT JOIN romans roman ON getvariable('roman_numbers') AND numeral = regexp_extract(line, '^[\[({<|*~=—-]* ?([ivxlc]+) ?[\])}>|*~=—.-]*$', 1)
WHERE numbered;

CREATE OR REPLACE TEMP TABLE page_numbers AS
WITH numbers AS (
    SELECT *, coalesce(number, beside) AS value FROM found WHERE number IS NOT NULL OR beside IS NOT NULL
), chained AS (
    SELECT p.d, p.n, p.k, p.number
    FROM numbers p JOIN numbers q ON q.d = p.d AND q.k <> p.k AND abs(q.k - p.k) <= 90 * greatest(abs(q.value - p.value), 1)
        AND (q.k - p.k) * (q.value - p.value) > 0 AND abs(q.value - p.value) <= 3
        AND q.number IS NOT NULL AND p.number IS NOT NULL
        AND abs(q.k - p.k) >= getvariable('page_lines') * greatest(abs(q.value - p.value), 1)
    GROUP BY ALL
), before AS (
    SELECT c.*, set_off, bracketed, interrupts AND before_size > 30
        AND (before_said IS NULL OR min(c.number) OVER refrain = max(c.number) OVER refrain) AS interrupts
    FROM chained c JOIN found f USING (d, n) WINDOW refrain AS (PARTITION BY c.d, before_said)
), paces AS (
    SELECT d, (n - lag(n) OVER w) // nullif(number - lag(number) OVER w, 0) AS pace FROM chained WINDOW w AS (PARTITION BY d ORDER BY n)
), even AS (
    -- Three of four pages are within a tenth of the median length.
    SELECT d FROM paces JOIN (SELECT d, quantile_disc(pace, 0.5) AS middle FROM paces GROUP BY d) USING (d)
    GROUP BY d HAVING count(pace) >= 2 AND count(*) FILTER (10 * abs(pace - middle) <= middle) >= 0.75 * count(pace)
), beside AS MATERIALIZED (
    SELECT p.d, p.n, said, numbered FROM (SELECT d, k + unnest([-2, -1, 1, 2]) AS k FROM chained) JOIN placed p USING (d, k)
), repeating AS MATERIALIZED (
    SELECT d, said, min(n) AS n, bool_or(numbered) AS numbered, count(*) AS times FROM beside WHERE said IS NOT NULL GROUP BY d, said HAVING count(*) >= 2
), headed AS (
    SELECT DISTINCT d FROM repeating JOIN (SELECT d, count(*) AS numbers FROM chained GROUP BY d) USING (d) JOIN lines USING (d, n)
    WHERE 2 * times >= numbers AND (line = chr(12) OR (NOT numbered AND NOT regexp_matches(line, getvariable('division'))))
), documents AS (
    SELECT d FROM before GROUP BY d HAVING count(*) >= 2 AND (avg(interrupts::INTEGER) >= CASE WHEN count(*) = 2 THEN 0.5 ELSE 0.2 END OR (avg(set_off::INTEGER) >= 0.8 AND (bool_or(interrupts) OR NOT bool_or(bracketed)))
        OR (d IN (FROM even) AND (bool_or(interrupts) OR d IN (FROM headed)) AND d IN (SELECT d FROM set_in_lines WHERE flows)))
)
SELECT d, n, k FROM before SEMI JOIN documents USING (d)
UNION SELECT d, n, k FROM found WHERE feed
-- A number that is set off like the document's page numbers is one of them, even without neighbours.
UNION SELECT d, n, k FROM found SEMI JOIN documents USING (d) WHERE number IS NOT NULL AND set_off;

DELETE FROM furniture WHERE d IN (FROM stale);

INSERT INTO furniture
WITH near AS (
    SELECT DISTINCT p.d, p.n FROM (SELECT d, k + unnest([-2, -1, 1, 2]) AS k FROM page_numbers) f JOIN placed p USING (d, k)
), candidates AS (
    SELECT DISTINCT d, said FROM (
        FROM often UNION ALL SELECT d, said FROM found WHERE beside IS NOT NULL UNION ALL SELECT d, said FROM placed SEMI JOIN near USING (d, n))
), candidate_lines AS MATERIALIZED (
    SELECT d, n, k, interrupts, goes_on FROM placed SEMI JOIN candidates USING (d, said)
), named AS MATERIALIZED (
    SELECT p.*, NOT regexp_matches(l.line, '^\W*\p{Ll}') AS begins, l.line, f.beside, f.number,
        trim(regexp_replace(upper(l.line), '[^\p{L}]+', ' ', 'g')) AS name
    FROM candidate_lines p JOIN lines l USING (d, n) LEFT JOIN found f USING (d, n) WHERE l.line <> chr(12)
), occurrences AS (
    SELECT o.d, o.n, o.k, o.name, o.beside, a.n IS NOT NULL AS adjacent,
        o.k - lag(o.k) OVER w AS gap, o.beside - lag(o.beside) OVER w AS step,
        o.interrupts, o.goes_on, o.begins, o.line
    FROM named o LEFT JOIN near a USING (d, n) WHERE length(o.name) >= 3 AND o.number IS NULL
    WINDOW w AS (PARTITION BY o.d, o.name ORDER BY o.k)
), names AS (
    SELECT d, name, avg(adjacent::INTEGER) >= 0.5 AND bool_and(begins) AND (count(*) >= 3 OR bool_and(line = upper(line))) AS adjoining,
        count(DISTINCT beside) >= 3 AND bool_and(step >= 0) FILTER (beside IS NOT NULL) AND count(*) FILTER (step BETWEEN 1 AND 4 AND gap >= getvariable('page_lines')) >= 1
            AND bool_or(flows AND interrupts) AND NOT bool_or(regexp_matches(line, getvariable('division'))) AS counts,
        bool_or(flows) AND count(*) >= 4 AND avg(gap) >= getvariable('page_lines') AND 25 * (count(gap) * sum(gap * gap) - sum(gap) * sum(gap)) <= sum(gap) * sum(gap) 
            AND avg((interrupts AND goes_on)::INTEGER) >= 0.25 AND bool_and(begins) AND NOT bool_or(regexp_matches(line, getvariable('division'))) AS rhythmic
    FROM occurrences JOIN set_in_lines USING (d) GROUP BY d, name HAVING count(*) >= 2
)
SELECT d, n, 'page number' AS kind FROM page_numbers
UNION ALL
SELECT d, n, 'running head' FROM (
    SELECT o.d, o.n FROM occurrences o JOIN names m USING (d, name)
    WHERE (m.adjoining AND o.adjacent) OR (m.counts AND o.beside IS NOT NULL) OR (m.rhythmic AND o.k > 5)
) ANTI JOIN page_numbers USING (d, n);

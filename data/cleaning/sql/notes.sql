-- Notes at a page's foot, with the marks that refer to them, and bracketed ones ([Footnote 1: ...]) wherever they are. With notes=end they
-- and their marks stay as they are (notes_apart.sql moves them), and where no text is behind any of them they are there already.
-- begins: the line is the first of its note.
-- A foot note begins with a mark (*, †, 1, [1], 1., a superscript) that a line of text above on its page ends a word with; it and all after
-- it go, up to what ends the page: a form feed, a number alone on its line, or a line that occurs again and again, as running heads do.
-- Other numbers and stars at a line's beginning (lists, verses) have no such reference and stay.
WITH seen AS MATERIALIZED (
    SELECT d, n, blanks, line, row_number() OVER (PARTITION BY d ORDER BY n) AS k, trim(lower(regexp_replace(line, '[0-9]+', '', 'g'))) AS said,
        regexp_extract(line, '^([*]{1,3}|[†‡§¶]{1,2}|[⁰¹²³⁴-⁹]{1,3}|\[(?:[0-9]{1,3}|[a-z*†‡])\]|\((?:[0-9]{1,3}|[a-z*†‡])\)|[0-9]{1,3}[.)]?) ?[^\s\w]{0,4}[\p{L}0-9]', 1) AS mark,
        line = chr(12) OR regexp_full_match(line, '[\[({<|*~=—-]* ?[0-9]{1,4} ?[\])}>|*~=—.-]*') AS ends
    FROM lines
), often AS (
    -- Once a page at most. Notes repeat, too (Ibid.); a head that begins with its page's number has another one each time, and no full stop.
    SELECT d, said FROM (
        SELECT *, k - lag(k) OVER (PARTITION BY d, said ORDER BY k) AS gap FROM seen WHERE length(line) <= 90 AND regexp_matches(said, '\p{L}')
    ) GROUP BY d, said HAVING count(*) >= 4 AND quantile_disc(gap, 0.2) >= getvariable('page_lines')
        AND (bool_and(mark = '') OR (bool_and(regexp_full_match(mark, '[0-9]+') AND NOT ends_with(line, '.')) AND count(DISTINCT mark) = count(*)))
), paged AS MATERIALIZED (
    SELECT *, count(CASE WHEN ends THEN 1 END) OVER (PARTITION BY d ORDER BY k ROWS UNBOUNDED PRECEDING) AS page
    FROM (SELECT seen.* EXCLUDE (ends), ends OR o.said IS NOT NULL AS ends FROM seen LEFT JOIN often o USING (d, said))
), ended AS (
    -- The last lines of a document may have no page end below; what stands there can't be told from text.
    SELECT d, page, min(k) AS first FROM paged WHERE ends GROUP BY d, page
), marks AS (
    -- A star that another one closes emphasizes.
    SELECT p.d, p.n, p.k, p.page, e.first, CASE WHEN regexp_matches(mark, '^[0-9]') THEN rtrim(mark, '.)') ELSE mark END AS mark
    FROM paged p JOIN ended e ON e.d = p.d AND e.page = p.page + 1
    WHERE mark <> '' AND NOT ends AND NOT (mark = '*' AND regexp_matches(line, '^[*][^ ][^*]*[*]'))
), body AS MATERIALIZED (
    SELECT d, n, k, page, line FROM paged SEMI JOIN marks USING (d, page) WHERE mark = '' AND NOT ends AND regexp_matches(line, '[*†‡§¶⁰¹²³⁴-⁹\[(0-9]')
), found AS (
    -- A number right behind a word is a reference; one behind a space may be any.
    SELECT d, n, k, page, unnest(
        regexp_extract_all(line, '\p{L}["''.,;:!?)]{0,3} ?([*]{1,3}|[†‡§¶]{1,2}|[⁰¹²³⁴-⁹]{1,3}|\[(?:[0-9]{1,3}|[a-z*†‡])\]|\((?:[0-9]{1,3}|[a-z*†‡])\))(?:[\s"''.,;:!?)—-]|$)', 1)
        || regexp_extract_all(line, '\p{L}["''.,;:!?)]{0,3}([0-9]{1,3})(?:[\s"''.,;:!?)—-]|$)', 1)) AS mark,
        (length(line) - length(replace(line, '*', ''))) % 2 = 1 AS odd
    FROM body
), referred AS (
    SELECT m.d, m.n, m.k, m.page, m.first, m.mark, min(f.n) AS source
    FROM marks m JOIN found f ON f.d = m.d AND f.page = m.page AND f.mark = m.mark AND f.k BETWEEN m.k - 90 AND m.k - 1
    WHERE m.mark <> '*' OR odd
    GROUP BY ALL
), barred AS (
    -- No two notes of a page have one mark, as the speakers of a play or the verses of several psalms may.
    SELECT d, page, max(k) AS k FROM (SELECT *, lead(k) OVER (PARTITION BY d, page, mark ORDER BY k) AS again FROM marks) WHERE again IS NOT NULL GROUP BY d, page
), feet AS (
    -- What is longer than forty lines is no foot of a page.
    SELECT r.d, r.page, min(r.k) AS k FROM referred r LEFT JOIN barred b ON b.d = r.d AND b.page = r.page
    WHERE b.k IS NULL OR r.k > b.k GROUP BY r.d, r.page HAVING min(first) - min(r.k) <= 40
), paragraphs AS (
    -- A form feed ends a paragraph where a bracketed note begins or ends; a note may go on across one.
    SELECT d, n, line, blanks + count(CASE WHEN parts THEN 1 END) OVER (PARTITION BY d ORDER BY k ROWS UNBOUNDED PRECEDING) AS paragraph FROM (
        SELECT d, n, k, blanks, line, line = chr(12) AND (regexp_matches(lead(line) OVER w, '(?i)^\[(foot)?note\b') OR ends_with(lag(line) OVER w, ']')) AS parts
        FROM seen WINDOW w AS (PARTITION BY d ORDER BY k)
    ) QUALIFY line <> chr(12)
), bracketed AS (
    SELECT d, paragraph, regexp_extract(arg_min(line, n), '^\[\w+:? ([0-9]{1,3}|[A-Z])\b', 1) AS label FROM paragraphs GROUP BY d, paragraph
    HAVING regexp_matches(arg_min(line, n), '(?i)^\[(foot)?note\b') AND ends_with(arg_max(line, n), ']')
), gone AS (
    SELECT d, n, bool_or(begins) AS begins FROM (
        SELECT p.d, p.n, (p.d, p.n) IN (SELECT (d, n) FROM referred) AS begins
        FROM paged p JOIN feet f ON f.d = p.d AND f.page = p.page AND p.k >= f.k WHERE NOT ends
        UNION ALL SELECT d, n, n = min(n) OVER (PARTITION BY d, paragraph) FROM paragraphs SEMI JOIN bracketed USING (d, paragraph)
    ) GROUP BY d, n
), labelled AS (
    SELECT DISTINCT d, n, label FROM (
        SELECT d, n, unnest(regexp_extract_all(line, '\[([0-9]{1,3}|[A-Z])\]', 1)) AS label
        FROM (FROM lines SEMI JOIN bracketed USING (d) WHERE contains(line, '['))
    ) SEMI JOIN bracketed USING (d, label)
), sources AS (
    SELECT d, n, list(pattern) AS patterns FROM (
        SELECT DISTINCT r.d, source AS n, '(\p{L}["''.,;:!?)]{0,3}) ?' || regexp_escape(mark) || '([\s"''.,;:!?)—-]|$)' AS pattern
        FROM referred r JOIN feet f ON f.d = r.d AND f.page = r.page AND r.k >= f.k
        UNION SELECT d, n, '() ?\[' || label || '\]()' FROM labelled
    ) GROUP BY d, n
), unmarked AS (
    SELECT l.d, l.n, line AS before,
        list_reduce(list_prepend(line, list_sort(patterns)), lambda text, pattern: regexp_replace(text, pattern, '\1\2', 'g')) AS line
    FROM lines l JOIN sources USING (d, n) ANTI JOIN gone USING (d, n)
)
SELECT d, n, line AS before, CASE getvariable('notes') WHEN 'end' THEN line END AS line, length(line) AS characters, begins
FROM lines JOIN gone USING (d, n)
WHERE getvariable('notes') = 'drop' OR d IN (SELECT d FROM gone JOIN (SELECT d, max(n) AS last FROM lines ANTI JOIN gone USING (d, n) GROUP BY d) USING (d) WHERE n < last)
UNION ALL SELECT d, n, before, line, length(before) - length(line), false FROM unmarked WHERE getvariable('notes') = 'drop'

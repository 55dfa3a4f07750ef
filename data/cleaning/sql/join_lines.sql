-- How each line is joined to the one before it (table joints).
-- width: where the document's lines were wrapped. A line was wrapped if the first word of the next line would not have fitted; otherwise the
-- author ended it (verse, a list, a heading, the end of a paragraph). Verse begins its lines with capitals; a paragraph is prose if most of
-- its continuation lines begin in lower case. A marked title stays on its own line, and so does a numbered verse (2:19) or a list item (*) if
-- the line before came to a stop, and a marked line of a paragraph that begins with one. Numbers without a colon (195. The powers) prove
-- nothing: prose with quotations also begins lines so.
-- weight: the evidence that lines were wrapped, as a sum of log odds: of prose three lines of four are full and few end far from the margin; of
-- verse and lists in small letters one in five is full, and half end far from it. Other paragraphs of the document count up to 3; narrow lines
-- are more often verse, and those of a word or two are a list. Chance makes some of many stanzas look full, so three lines of five must be, or the document
-- as a whole must look wrapped.
-- Scripts without capitals that write spaces (from Hebrew to Hangul) tell prose by its stops: most stand within lines (spoken), where verse
-- and lists have theirs at the ends of lines. There every line goes on that doesn't follow a stop.
-- A line that ends in a hyphen is joined without a space.
CREATE OR REPLACE TEMP TABLE joints AS
WITH seen AS (
    SELECT d, n, page, size, first_size, blanks, block, noted,
        regexp_matches(line, '^["''(\[_]*\p{Ll}') AS lower,
        regexp_matches(line, '^\p{Ll}') AS small,
        CASE WHEN strlen(line) > 1.2 * length(line) THEN regexp_matches(line, '^["''(\[_«]*[\p{Hebrew}\p{Arabic}\p{Syriac}\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Oriya}\p{Tamil}\p{Telugu}\p{Kannada}\p{Malayalam}\p{Sinhala}\p{Georgian}\p{Ethiopic}\p{Hangul}]') ELSE false END AS caseless,
        CASE WHEN strlen(line) > 1.2 * length(line) THEN regexp_matches(line, '[.!?।॥؟۔።]["'')\]_»]* \S') ELSE false END AS stop_within,
        regexp_matches(line, '[.!?:।॥؟۔።]["'')\]_]*$') AS ended, regexp_matches(line, '[.!?:;"'')\]]$') AS stopped,
        regexp_matches(line, '^([0-9]{1,3}:[0-9]{1,3} ["''(]?\p{Lu}|[*•] )') AS item,
        regexp_matches(line, '^([-–—*•·+‣◦▪] |[(\[]?([0-9]{1,3}|\p{L}|[ivxlcIVXLC]{1,6})[)\]] |\p{Ll}\. )') AS marked,
        ends_with(line, '-') AND regexp_matches(line, '\p{L}-$') AS cut_off, ends_with(line, '-') AND regexp_matches(line, '[\p{L}\p{N}]-$') AS hyphened,
        block OR (getvariable('chapter_titles') = 'mark' AND starts_with(line, '# ')) AS heading
    FROM lines
), texts AS MATERIALIZED (
    SELECT d, n, page, size, first_size, lower AND NOT marked AS lower, caseless AND NOT marked AS caseless, caseless AND stop_within AS stop_within, marked, heading OR coalesce(lag(heading) OVER w, false) AS titled, lag(n) OVER w AS before_n,
        lag(size) OVER w AS before_size, lag(ended) OVER w AS ended, block, noted,
        item AND lag(stopped) OVER w AS itemized, small AND lag(cut_off) OVER w AS broken, lag(hyphened) OVER w AS hyphened,
        blanks > lag(blanks) OVER w OR (NOT block AND NOT lag(block) OVER w AND (heading OR lag(heading) OVER w)) AS gap
    FROM seen WINDOW w AS (PARTITION BY d ORDER BY n)
), widths AS (
    SELECT d, coalesce(quantile_disc(size, 0.97) FILTER (size <= getvariable('wrap_limit') AND NOT block), 0) AS width,
        min(n - before_n) FILTER (page) AS page_room, max(n - before_n) FILTER (page) > min(n - before_n) FILTER (page) AS telling
    FROM texts GROUP BY d
), fitted AS (
    SELECT t.d, n, before_n, before_size, page, noted, lower, marked, caseless AND NOT coalesce(ended, true) AS goes_on, caseless, stop_within, ended, broken, hyphened, titled, itemized, width,
        page AND telling AND n - before_n > page_room AS loose, page AND telling AND n - before_n = page_room AS tight,
        before_size <= getvariable('wrap_limit') AS short,
        before_size + 1 + first_size > width AS filled, before_size + 1 + first_size > 0.7 * width AS nearly, before_size + 1 + first_size > 0.85 * width AS close,
        gap OR (page AND n - before_n > 1) AS apart, before_n IS NULL OR (gap AND NOT page) OR titled AS opens
    FROM texts t JOIN widths USING (d)
), paragraphs AS MATERIALIZED (
    SELECT *, count(CASE WHEN opens THEN 1 END) OVER (PARTITION BY d ORDER BY n ROWS UNBOUNDED PRECEDING) AS paragraph FROM fitted
), inner_lines AS MATERIALIZED (
    SELECT d, paragraph, count(*) FILTER (within) AS times, sum(CASE WHEN NOT within THEN 0 WHEN lower AND nearly THEN 1 WHEN lower THEN 0.5 ELSE 0 END) AS flowing,
        sum(CASE WHEN within AND caseless THEN CASE WHEN goes_on AND nearly THEN 1 ELSE 0.5 END ELSE 0 END) AS caseless_flowing, count(*) FILTER (within AND caseless AND nearly) AS caseless_wrapped,
        count(*) FILTER (stop_within) > 2 * count(*) FILTER (within AND caseless AND ended) AS spoken,
        count(*) FILTER (within AND lower AND nearly) AS wrapped, coalesce(bool_or(marked) FILTER (opens), false) AS listed,
        count(*) FILTER (within AND short AND filled) AS full_lines, count(*) FILTER (within AND short AND close AND NOT filled) AS near_lines,
        count(*) FILTER (within AND short AND NOT close) AS far_lines
    FROM (SELECT *, NOT opens AND NOT page AS within FROM paragraphs) GROUP BY d, paragraph
), weighed AS (
    -- Where nearly all lines are full, one that has room is no slip of a typist.
    SELECT * REPLACE (flowing + CASE WHEN spoken THEN caseless_flowing ELSE 0 END AS flowing, wrapped + CASE WHEN spoken THEN caseless_wrapped ELSE 0 END AS wrapped), 1.3 * full_lines - 3.1 * far_lines - CASE WHEN sum(full_lines) OVER w >= 0.85 * sum(full_lines + near_lines) OVER w THEN 3.1 ELSE 0.5 END * near_lines AS weight
    FROM inner_lines WINDOW w AS (PARTITION BY d)
), documents AS (
    SELECT d, sum(wrapped) / nullif(sum(times), 0) AS document_prose, sum(weight) AS document_weight, count(*) FILTER (weight < 0) AS uneven FROM weighed GROUP BY d
), judged AS (
    SELECT p.* REPLACE (lower OR (goes_on AND coalesce(spoken, false)) AS lower), coalesce(flowing / nullif(times, 0), 0) AS prose, coalesce(document_prose, 0) AS document_prose, listed,
        width >= 30 AND weight + greatest(least(document_weight - weight + CASE WHEN width >= 55 THEN 1 ELSE -4 END, 3), CASE WHEN width >= 55 THEN -2 - ln(1 + uneven) ELSE -9 END) > 0.5
            AND (full_lines >= 0.6 * (full_lines + near_lines + far_lines) OR document_weight > 0) AS flows,
        document_weight > 0 AS document_flows
    FROM paragraphs p LEFT JOIN weighed USING (d, paragraph) LEFT JOIN documents USING (d)
), decided AS (
    SELECT *, NOT opens AND short AND CASE
        WHEN broken THEN true
        WHEN itemized OR (marked AND listed) THEN false
        WHEN page THEN document_flows AND (lower OR (NOT loose AND (filled OR (tight AND NOT ended)) AND document_prose >= 0.4))
        WHEN noted AND lower THEN true
        WHEN NOT flows THEN false
        WHEN lower AND nearly THEN prose >= 0.3 OR filled
        WHEN lower THEN prose >= 0.5
        WHEN filled THEN prose >= 0.4 OR (document_prose >= 0.5 AND (prose >= 0.2 OR before_size > 0.8 * width))
        WHEN nearly AND NOT ended THEN prose >= 0.6 AND document_prose >= 0.6
        ELSE false END AS joined
    FROM judged
)
SELECT d, n, before_n,
    CASE WHEN before_n IS NULL THEN 'start'
         WHEN joined AND broken AND getvariable('hyphenation') THEN 'hyphen'
         WHEN joined AND hyphened AND getvariable('unwrap') THEN 'bare'
         WHEN joined AND getvariable('unwrap') THEN 'space'
         WHEN apart THEN 'paragraph' ELSE 'line' END AS joint
FROM decided;

-- Words broken at a line end. A word keeps its hyphen if the shard writes it with a hyphen more often, or if both halves are words that it
-- never writes together; or behind one letter or capitals alone (X-ray, USB-stick), if it never writes it together. A hyphen before "and" that
-- belongs to a later word (two- and threefold) keeps its space, too.
CREATE OR REPLACE TEMP TABLE halved AS
WITH halves AS MATERIALIZED (
    SELECT j.d, j.n, j.before_n, regexp_extract(b.line, '\S+$') AS first, regexp_extract(l.line, '^\S+') AS second,
        regexp_matches(b.line, '(^|[^\p{L}])(\p{L}|\p{Lu}{2,})-$') AS short,
        lower(regexp_extract(b.line, '(\p{L}+(?:-\p{L}+)*)-$', 1)) AS left_half, lower(regexp_extract(l.line, '^(\p{L}+(?:-\p{L}+)*)', 1)) AS right_half
    FROM joints j JOIN lines b ON b.d = j.d AND b.n = j.before_n JOIN lines l ON l.d = j.d AND l.n = j.n WHERE joint = 'hyphen'
), mended AS (
    SELECT left_half, right_half, coalesce(j.times, 0) = 0 AS never,
        coalesce(j.times, 0) = 0 AND coalesce(a.times, 0) > 0 AND right_half IN ('and', 'or', 'und', 'oder', 'bzw', 'bis', 'sowie', 'en', 'of', 'och', 'og') AS suspended,
        coalesce(h.times, 0) > coalesce(j.times, 0)
            OR (coalesce(h.times, 0) = 0 AND coalesce(j.times, 0) = 0 AND coalesce(a.times, 0) >= 20 AND coalesce(b.times, 0) >= 20 AND length(left_half) > 2 AND length(right_half) > 2) AS hyphenated
    FROM (SELECT DISTINCT left_half, right_half FROM halves) p
    LEFT JOIN words h ON h.word = left_half || '-' || right_half LEFT JOIN words j ON j.word = left_half || right_half
    LEFT JOIN words a ON a.word = left_half LEFT JOIN words b ON b.word = right_half
)
SELECT d, n, before_n, first, second, suspended, hyphenated OR (short AND never) AS hyphenated FROM halves JOIN mended USING (left_half, right_half);

UPDATE joints SET joint = 'space' FROM halved h WHERE joints.d = h.d AND joints.n = h.n AND suspended;

CREATE OR REPLACE TEMP TABLE breaks AS SELECT d, n, before_n, first, second FROM halved WHERE NOT suspended AND NOT hyphenated;

-- How each line of text hangs together with the one before it: table joints.
-- width: where the document's lines were wrapped. A line was wrapped when its successor's first word would not have fitted;
-- where it would have fitted, the author ended the line (verse, a heading, a paragraph's end). Verse begins its lines with
-- capitals; a paragraph in which most wrapped-looking successors begin in lower case is prose.
CREATE OR REPLACE TABLE joints AS
WITH texts AS (
    SELECT l.*, p.size,
        lag(line) OVER w AS before, lag(p.size) OVER w AS before_size, n - lag(n) OVER w AS room,
        n - lag(n) OVER w > 1 AND (page OR gap) AS apart
    FROM (SELECT *, coalesce(lag(line) OVER (PARTITION BY d ORDER BY n), '') = '' AS gap FROM lines) l JOIN printed p USING (d, n)
    WHERE line <> '' WINDOW w AS (PARTITION BY d ORDER BY n)
), widths AS (
    SELECT d, quantile_disc(size, 0.97) FILTER (size <= getvariable('wrap_limit')) AS width,
        min(room) FILTER (page) AS page_room, max(room) FILTER (page) > min(room) FILTER (page) AS telling
    FROM texts GROUP BY d
), measured AS (
    SELECT t.*, coalesce(width, 0) AS width,
        page AND telling AND room > page_room AS loose, page AND telling AND room = page_room AS tight,
        regexp_extract(line, '^\S+') AS first, regexp_extract(before, '\S+$') AS last,
        regexp_matches(line, '^["''(\[_]*\p{Ll}') AS lower,
        regexp_matches(before, '[.!?:]["'')\]_]*$') AS ended,
        before_size <= getvariable('wrap_limit') AS short,
        before IS NOT NULL AND regexp_matches(before, '\p{L}-$') AND regexp_matches(line, '^\p{Ll}') AS broken
    FROM texts t LEFT JOIN widths USING (d)
), fitted AS (
    SELECT *, before_size + 1 + length(first) > width AS filled, before_size + 1 + length(first) > 0.7 * width AS nearly,
        before IS NULL OR (apart AND NOT page) AS opens
    FROM measured
), paragraphs AS (
    SELECT *, count(*) FILTER (opens) OVER (PARTITION BY d ORDER BY n ROWS UNBOUNDED PRECEDING) AS paragraph FROM fitted
), judged AS (
    SELECT *,
        coalesce(avg(CASE WHEN opens OR page THEN NULL WHEN lower AND nearly THEN 1 WHEN lower THEN 0.5 ELSE 0 END) OVER (PARTITION BY d, paragraph), 0) AS prose,
        coalesce(avg(CASE WHEN opens OR page THEN NULL WHEN lower AND nearly THEN 1 ELSE 0 END) OVER (PARTITION BY d), 0) AS document_prose
    FROM paragraphs
), decided AS (
    SELECT *, NOT opens AND short AND CASE
        WHEN broken THEN true
        WHEN page THEN lower OR (NOT loose AND (filled OR (tight AND NOT ended)) AND document_prose >= 0.4)
        WHEN lower AND nearly THEN prose >= 0.3 OR filled
        WHEN lower THEN prose >= 0.5
        WHEN filled THEN prose >= 0.4 OR (document_prose >= 0.5 AND (prose >= 0.2 OR before_size > 0.8 * width))
        WHEN nearly AND NOT ended THEN prose >= 0.6 AND document_prose >= 0.6
        ELSE false END AS joined
    FROM judged
)
SELECT d, n, line, page,
    CASE WHEN before IS NULL THEN 'start'
         WHEN joined AND broken AND getvariable('hyphenation') THEN 'hyphen'
         WHEN joined AND getvariable('unwrap') THEN 'space'
         WHEN apart THEN 'paragraph' ELSE 'line' END AS joint,
    lower(regexp_extract(last, '(\p{L}+(?:-\p{L}+)*)-$', 1)) AS left_half, lower(regexp_extract(first, '^(\p{L}+(?:-\p{L}+)*)', 1)) AS right_half
FROM decided;

-- A broken word keeps its hyphen where the corpus writes it so more often, or where both halves are words that it never
-- writes together.
CREATE OR REPLACE TABLE mended AS
SELECT DISTINCT left_half, right_half,
    coalesce(h.times, 0) > coalesce(j.times, 0)
        OR (coalesce(h.times, 0) = 0 AND coalesce(j.times, 0) = 0 AND coalesce(a.times, 0) >= 20 AND coalesce(b.times, 0) >= 20 AND length(left_half) > 2 AND length(right_half) > 2) AS hyphenated
FROM (SELECT DISTINCT left_half, right_half FROM joints WHERE joint = 'hyphen') p
LEFT JOIN words h ON h.word = left_half || '-' || right_half LEFT JOIN words j ON j.word = left_half || right_half
LEFT JOIN words a ON a.word = left_half LEFT JOIN words b ON b.word = right_half;

-- Lines that hang together become one block; `lead` is what stands before a block.
CREATE OR REPLACE TABLE blocks AS
WITH placed AS (
    SELECT j.*, coalesce(m.hyphenated, true) AS hyphenated,
        count(*) FILTER (joint IN ('start', 'paragraph', 'line')) OVER (PARTITION BY j.d ORDER BY n ROWS UNBOUNDED PRECEDING) AS block,
        lead(joint) OVER w AS next_joint, lead(coalesce(m.hyphenated, true)) OVER w AS next_hyphenated
    FROM joints j LEFT JOIN mended m ON joint = 'hyphen' AND m.left_half = j.left_half AND m.right_half = j.right_half
    WINDOW w AS (PARTITION BY j.d ORDER BY n)
)
SELECT d, block::INTEGER AS n,
    string_agg((CASE WHEN joint = 'space' THEN ' ' ELSE '' END)
        || CASE WHEN next_joint = 'hyphen' AND NOT next_hyphenated THEN line[:-2] ELSE line END, '' ORDER BY n) AS line,
    first(CASE joint WHEN 'paragraph' THEN chr(10) || chr(10) WHEN 'line' THEN chr(10) ELSE '' END ORDER BY n) AS lead,
    count(*) FILTER (joint = 'hyphen')::INTEGER AS hyphens,
    count(*) FILTER (joint = 'hyphen' AND NOT hyphenated)::INTEGER AS dropped,
    count(*) FILTER (joint = 'space')::INTEGER AS spaces
FROM placed GROUP BY d, block;

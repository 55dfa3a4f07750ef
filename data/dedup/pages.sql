-- Which runs of words in `batch` (id, text) came before in the same book?
-- A run of matches at one distance from its first copy is a page; small gaps inside it are scanning errors.

CREATE OR REPLACE TEMP TABLE gram AS
WITH hashed AS MATERIALIZED (SELECT id, word_hashes(text) AS hashes FROM batch),
windowed AS MATERIALIZED (SELECT id, page_grams(hashes) AS grams FROM hashed)
SELECT id, generate_subscripts(grams, 1) AS position, unnest(grams) AS gram FROM windowed;

CREATE OR REPLACE TEMP TABLE echo AS
SELECT id, position, distance
FROM (
    SELECT id, position, position - lag(position) OVER (PARTITION BY id, gram ORDER BY position) AS distance
    FROM gram
    SEMI JOIN (SELECT id, gram FROM gram GROUP BY id, gram HAVING count(*) > 1) USING (id, gram))
WHERE distance >= getvariable('page_min_words');

INSERT INTO repeated_page
WITH step AS (
    SELECT *, position - lag(position) OVER (PARTITION BY id, distance ORDER BY position) > getvariable('page_gap') + 1 AS breaks
    FROM echo),
run AS (
    SELECT *, count(*) FILTER (breaks) OVER (PARTITION BY id, distance ORDER BY position) AS run
    FROM step),
page AS (
    SELECT id, distance, min(position) AS first, max(position) - min(position) + getvariable('page_window') AS words, count(*) AS matches
    FROM run
    GROUP BY id, distance, run)
SELECT
    id,
    first,
    -- Copies that follow each other at once: whole copies are cut, lest the first word of what follows go with them.
    CASE WHEN words > distance THEN words // distance * distance ELSE words END AS words,
    distance
FROM page
WHERE words >= getvariable('page_min_words')
  AND distance - words <= getvariable('page_max_apart')
  AND matches >= getvariable('page_similarity') * (words - getvariable('page_window') + 1);

-- Runs of words that the same book contains earlier. `batch` (number, position, gram): the grams that occur more than once in a book.
-- A page is a run of matches at one distance from their first copies; small gaps within it are scanning errors.

CREATE OR REPLACE TEMP TABLE echo AS
SELECT number, position, distance
FROM (
    SELECT number, position, position - lag(position) OVER (PARTITION BY number, gram ORDER BY position) AS distance
    FROM batch)
WHERE distance >= getvariable('page_min_words');

CREATE OR REPLACE TEMP TABLE repeated_page AS
WITH step AS (
    SELECT *, position - lag(position) OVER (PARTITION BY number, distance ORDER BY position) > getvariable('page_gap') + 1 AS breaks
    FROM echo),
run AS (
    SELECT *, count(CASE WHEN breaks THEN 1 END) OVER (PARTITION BY number, distance ORDER BY position) AS run
    FROM step),
page AS (
    SELECT number, distance, min(position) AS first, max(position) - min(position) + getvariable('page_window') AS words, count(*) AS matches
    FROM run
    GROUP BY number, distance, run)
SELECT
    number,
    first,
    -- Of copies in direct succession whole ones are cut, so that the first word of what follows stays.
    CASE WHEN words > distance THEN words // distance * distance ELSE words END AS words,
    distance
FROM page
WHERE words >= getvariable('page_min_words')
  AND distance - words <= getvariable('page_max_apart')
  AND matches >= getvariable('page_similarity') * (words - getvariable('page_window') + 1);

-- Join neighbouring copies whose first copies are neighbours too into one passage: the longest that both texts share.
CREATE TABLE repeated_passage AS
WITH step AS (
    SELECT *, position - lag(position) OVER beside > 1 AS breaks
    FROM copy
    WINDOW beside AS (PARTITION BY number, origin, origin_position - position ORDER BY position)),
island AS (
    SELECT *, count(CASE WHEN breaks THEN 1 END) OVER (PARTITION BY number, origin, origin_position - position ORDER BY position) AS island
    FROM step)
SELECT
    number, min(position) AS first, count(*) + getvariable('unit_reach') - 1 AS words,
    origin, min(origin_position) AS origin_first
FROM island
GROUP BY number, origin, origin_position - position, island;

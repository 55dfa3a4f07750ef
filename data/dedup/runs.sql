-- Copies of words that follow each other, with their first copies following each other too, are one run: the longest that both texts share.
CREATE TABLE run AS
WITH step AS (
    SELECT *, position - lag(position) OVER beside > 1 AS breaks
    FROM copy
    WINDOW beside AS (PARTITION BY number, origin, origin_position - position ORDER BY position)),
island AS (
    SELECT *, count(*) FILTER (breaks) OVER (PARTITION BY number, origin, origin_position - position ORDER BY position) AS island
    FROM step)
SELECT
    number, min(position) AS first, count(*) + getvariable('piece_reach') - 1 AS words,
    origin, min(origin_position) AS origin_first
FROM island
GROUP BY number, origin, origin_position - position, island;

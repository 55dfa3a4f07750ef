-- The true Jaccard similarity of every candidate pair's shingle sets; pairs below the threshold fall.
CREATE TABLE near_pair AS
WITH size AS (SELECT number, count(*) AS shingles FROM shingle GROUP BY number),
shared AS (
    SELECT c.a, c.b, count(*) AS shingles
    FROM candidate AS c
    JOIN shingle AS l ON l.number = c.a
    JOIN shingle AS r ON r.number = c.b AND r.shingle = l.shingle
    GROUP BY c.a, c.b)
SELECT s.a, s.b, s.shingles / (l.shingles + r.shingles - s.shingles) AS jaccard
FROM shared AS s
JOIN size AS l ON l.number = s.a
JOIN size AS r ON r.number = s.b
WHERE jaccard >= getvariable('near_threshold');

-- The true Jaccard similarity of the shingle sets of every pair in `asked`; those that reach the threshold are near.
INSERT INTO candidate SELECT a, b FROM asked;

INSERT INTO near_pair
WITH shared AS (
    SELECT c.a, c.b, count(*) AS shingles
    FROM asked AS c
    JOIN shingle AS l ON l.number = c.a
    JOIN shingle AS r ON r.number = c.b AND r.shingle = l.shingle
    GROUP BY c.a, c.b)
SELECT s.a, s.b, s.shingles / (l.shingles + r.shingles - s.shingles) AS jaccard
FROM shared AS s
JOIN shingle_count AS l ON l.number = s.a
JOIN shingle_count AS r ON r.number = s.b
WHERE jaccard >= getvariable('near_threshold');

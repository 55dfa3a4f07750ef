-- The exact Jaccard similarity of every pair in pending_pair; pairs that reach the threshold are near duplicates.
INSERT INTO candidate SELECT a, b FROM pending_pair;

INSERT INTO near_pair
WITH shared AS (
    SELECT c.a, c.b, count(*) AS shingles
    FROM pending_pair AS c
    JOIN shingle AS l ON l.number = c.a
    JOIN shingle AS r ON r.number = c.b AND r.shingle = l.shingle
    GROUP BY c.a, c.b)
SELECT s.a, s.b, s.shingles / (l.shingles + r.shingles - s.shingles) AS jaccard
FROM shared AS s
JOIN shingle_count AS l ON l.number = s.a
JOIN shingle_count AS r ON r.number = s.b
WHERE jaccard >= getvariable('near_threshold');

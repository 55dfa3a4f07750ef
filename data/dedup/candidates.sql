-- Pairs that share a band of their signatures. In a bucket larger than `bucket` each document meets only the first and its
-- predecessor: linear, and enough to connect copies of one text.
CREATE TABLE candidate AS
WITH member AS (
    SELECT
        band, bucket, number,
        count(*) OVER whole AS size,
        first_value(number) OVER rising AS head,
        lag(number) OVER rising AS previous
    FROM signature
    SEMI JOIN (SELECT DISTINCT best AS number FROM exact) USING (number)
    WINDOW whole AS (PARTITION BY band, bucket), rising AS (PARTITION BY band, bucket ORDER BY number)),
small AS (SELECT * FROM member WHERE size BETWEEN 2 AND getvariable('near_bucket')),
large AS (SELECT * FROM member WHERE size > getvariable('near_bucket'))
SELECT l.number AS a, r.number AS b FROM small AS l JOIN small AS r USING (band, bucket) WHERE l.number < r.number
UNION
SELECT head, number FROM large WHERE head < number
UNION
SELECT previous, number FROM large WHERE previous < number;

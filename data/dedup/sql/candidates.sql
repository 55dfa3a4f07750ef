-- Pairs of documents that share a bucket. A bucket with more than `near_bucket` members compares each member only with the first and with
-- its predecessor: linear, and enough to connect copies of one text. Documents of equal words are represented by their head.
CREATE TABLE pending_pair AS
WITH head AS MATERIALIZED (SELECT bucket, number FROM signature SEMI JOIN (SELECT number FROM exact WHERE number = head) USING (number)),
member AS (
    SELECT
        bucket, number,
        count(*) OVER whole AS size,
        first_value(number) OVER rising AS head,
        lag(number) OVER rising AS previous
    FROM head
    SEMI JOIN (SELECT bucket FROM head GROUP BY bucket HAVING count(*) > 1) USING (bucket)
    WINDOW whole AS (PARTITION BY bucket), rising AS (PARTITION BY bucket ORDER BY number)),
small AS (SELECT * FROM member WHERE size <= getvariable('near_bucket')),
large AS (SELECT * FROM member WHERE size > getvariable('near_bucket'))
SELECT l.number AS a, r.number AS b FROM small AS l JOIN small AS r USING (bucket) WHERE l.number < r.number
UNION
SELECT head, number FROM large WHERE head < number
UNION
SELECT previous, number FROM large WHERE previous < number;

CREATE TABLE proposed AS
SELECT a AS number FROM pending_pair
UNION
SELECT b FROM pending_pair;

-- The hits without common phrases, and the passages that they form.
CREATE TABLE common AS
SELECT gram, size FROM hit GROUP BY gram, size HAVING count(DISTINCT id) > getvariable('common');

CREATE TABLE found AS
SELECT id, position AS first, position + size - 1 AS last, size, gram FROM hit ANTI JOIN common USING (gram, size);

-- The passages to cut: runs of words that n-grams cover without a gap.
CREATE TABLE passage AS
WITH begun AS (
    SELECT id, first, last, first > coalesce(max(last) OVER (PARTITION BY id ORDER BY first, last
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + 1, 0) AS begins
    FROM (SELECT DISTINCT id, first, last FROM found)),
run AS (SELECT id, first, last, count(CASE WHEN begins THEN 1 END) OVER (PARTITION BY id ORDER BY first, last) AS number FROM begun)
SELECT id, number, min(first) AS first, max(last) AS last FROM run GROUP BY id, number;

-- The items that these words belong to, with the runs that each item's own n-grams cover.
CREATE TABLE contaminated AS
WITH matched AS (SELECT DISTINCT id, name, item, first, last FROM found JOIN wanted USING (gram, size)),
begun AS (
    SELECT id, name, item, first, last, first > coalesce(max(last) OVER (PARTITION BY id, name, item ORDER BY first, last
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + 1, 0) AS begins
    FROM matched),
run AS (
    SELECT id, name, item, first, last, count(CASE WHEN begins THEN 1 END) OVER (PARTITION BY id, name, item ORDER BY first, last) AS number
    FROM begun)
SELECT id, name, item, min(first) AS first, max(last) AS last FROM run GROUP BY id, name, item, number;

-- Leaked n-grams that follow each other form a passage.
CREATE TABLE leak AS
SELECT part, id, position, source
FROM held_out
JOIN (SELECT gram, min(id) AS source FROM seen GROUP BY gram) USING (gram);

CREATE TABLE passage AS
WITH placed AS (
    SELECT *, position - row_number() OVER (PARTITION BY part, id ORDER BY position) AS run
    FROM leak),
run AS (
    SELECT part, id, min(position) AS first, count(*) + getvariable('audit_words') - 1 AS words, arg_min(source, position) AS source
    FROM placed
    GROUP BY part, id, run)
SELECT *
FROM run
QUALIFY row_number() OVER (PARTITION BY part ORDER BY words DESC, id, first) <= getvariable('audit_worst');

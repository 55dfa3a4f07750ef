-- Documents of equal words form a group; its best copy (the longest text, then the smallest id) stands for it.
CREATE TABLE exact AS
SELECT
    number,
    CASE WHEN fingerprint IS NULL OR NOT getvariable('exact') THEN number
         ELSE first_value(number) OVER (PARTITION BY fingerprint ORDER BY characters DESC, id) END AS best
FROM document;

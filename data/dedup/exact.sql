-- Documents of equal words form a group; the first of them speaks for all when groups are compared.
CREATE TABLE exact AS
SELECT
    number,
    CASE WHEN fingerprint IS NULL OR NOT getvariable('exact') THEN number
         ELSE min(number) OVER (PARTITION BY fingerprint) END AS head
FROM document;

-- Groups of documents with equal words. The head, the smallest number of a group, represents it in comparisons between groups.
CREATE TABLE exact AS
SELECT
    number,
    CASE WHEN fingerprint IS NULL OR NOT getvariable('exact') THEN number
         ELSE min(number) OVER (PARTITION BY fingerprint) END AS head
FROM document;

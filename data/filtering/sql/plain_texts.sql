-- Texts with every white space but the line end as a space, and as they were given; most have no other: NULL says that both are the same.
CREATE OR REPLACE TEMP TABLE plain AS
SELECT n,
    CASE WHEN other THEN text END AS given,
    CASE WHEN other THEN regexp_replace(text, getvariable('white'), ' ', 'g') ELSE text END AS text
FROM (SELECT n, text, regexp_matches(text, getvariable('white')) AS other FROM batch);

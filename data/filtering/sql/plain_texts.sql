-- Texts with all white space except line ends as spaces. given: the original text; NULL if it is the same, as for most.
CREATE OR REPLACE TEMP TABLE plain AS
SELECT n,
    CASE WHEN other THEN text END AS given,
    CASE WHEN other THEN regexp_replace(text, getvariable('white'), ' ', 'g') ELSE text END AS text
FROM (SELECT n, text, regexp_matches(text, getvariable('white')) AS other FROM batch);

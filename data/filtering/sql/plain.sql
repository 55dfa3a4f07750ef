-- Texts as they are (given) and with every white space but the line end as a space; most texts have no other.
CREATE OR REPLACE TEMP TABLE plain AS
SELECT n, text AS given,
    CASE WHEN regexp_matches(text, getvariable('white')) THEN regexp_replace(text, getvariable('white'), ' ', 'g') ELSE text END AS text
FROM batch;

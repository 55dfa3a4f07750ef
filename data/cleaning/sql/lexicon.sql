-- The corpus's own words: how often each occurs, in lower case, whole or with inner hyphens. Words broken at a line's
-- end and what follows them are no words and don't count.
CREATE OR REPLACE TABLE words AS
SELECT word, count(*)::INTEGER AS times
FROM (
    SELECT unnest(regexp_extract_all(lower(CASE WHEN line[-1] = '-' THEN regexp_replace(line, '\S+-$', '') ELSE line END), '[\p{L}\p{N}]+(?:-[\p{L}\p{N}]+)*')) AS word
    FROM lines WHERE line <> ''
) GROUP BY word;

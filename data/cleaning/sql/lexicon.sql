-- The shard's own words: how often each occurs, in lower case, whole or with inner hyphens.
CREATE OR REPLACE TEMP TABLE counts AS
SELECT chunk, sum(times)::BIGINT AS times FROM (FROM counts UNION ALL FROM settled_counts) GROUP BY chunk;

CREATE OR REPLACE TEMP TABLE words AS
SELECT word, sum(times)::BIGINT AS times
FROM (SELECT unnest(regexp_extract_all(lower(chunk), '[\p{L}\p{N}]+(?:-[\p{L}\p{N}]+)*')) AS word, times FROM counts)
GROUP BY word;

-- The words of the shard: how often each occurs, whole or with inner hyphens, in any case, and (small) without a capital.
CREATE OR REPLACE TEMP TABLE counts AS
SELECT chunk, sum(times)::BIGINT AS times FROM (FROM counts UNION ALL FROM settled_counts) GROUP BY chunk;

CREATE OR REPLACE TEMP TABLE words AS
SELECT lower(word) AS word, sum(times)::BIGINT AS times, coalesce(sum(times) FILTER (NOT regexp_matches(word, '^\p{Lu}')), 0)::BIGINT AS small
FROM (SELECT unnest(regexp_extract_all(chunk, '[\p{L}\p{N}]+(?:-[\p{L}\p{N}]+)*')) AS word, times FROM counts)
GROUP BY ALL;

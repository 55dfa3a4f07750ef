-- Each run of non-space characters with a misread form (table misread), split into words and separators, with the words corrected. Capitals are
-- kept.
CREATE OR REPLACE TEMP TABLE reread AS
WITH hit AS (
    SELECT DISTINCT chunk FROM (SELECT chunk, unnest(regexp_extract_all(chunk, '[\p{L}\p{N}]+')) AS word FROM counts) SEMI JOIN misread ON wrong = lower(word)
), tokens AS (
    SELECT chunk, unnest(list) AS token, unnest(generate_series(1, len(list))) AS place
    FROM (SELECT chunk, regexp_extract_all(chunk, '[\p{L}\p{N}]+|[^\p{L}\p{N}]+') AS list FROM hit)
)
SELECT chunk, place::INTEGER AS place, token, sure, CASE WHEN right_word IS NULL THEN token
    WHEN length(token) > 2 AND token = upper(token) AND token <> lower(token) AND NOT regexp_matches(token, '\p{Ll}') THEN upper(right_word)
    WHEN token[1] = upper(token[1]) AND token[1] <> lower(token[1]) THEN upper(right_word[1]) || right_word[2:]
    ELSE right_word END AS repaired
FROM tokens LEFT JOIN misread ON wrong = lower(token);

CREATE OR REPLACE TEMP TABLE corrections AS
SELECT chunk, string_agg(repaired, '' ORDER BY place) AS corrected, string_agg(CASE WHEN sure THEN repaired ELSE token END, '' ORDER BY place) AS surely,
    bool_or(coalesce(sure, false)) AS sure, coalesce(bool_or(sure AND regexp_matches(token, '\p{N}')), false) AS digit
FROM reread GROUP BY chunk;

-- entry: a document's shingles that few others of its cluster hold, as many as it can differ in from a near duplicate, and one. Two near
-- duplicates share one of these (prefix filtering; Bayardo et al. 2007, "Scaling Up All Pairs Similarity Search"); text that a whole cluster
-- shares is in none. Clusters whose every pair was compared need no entries.
CREATE TABLE entry AS
WITH compared AS (
    SELECT l.cluster, count(*) AS pairs
    FROM candidate
    JOIN contender AS l ON l.head = candidate.a
    JOIN contender AS r ON r.head = candidate.b AND r.cluster = l.cluster
    GROUP BY l.cluster),
incomplete AS (
    SELECT cluster
    FROM (SELECT cluster, count(*) AS documents FROM contender GROUP BY cluster)
    LEFT JOIN compared USING (cluster)
    WHERE documents * (documents - 1) / 2 > coalesce(pairs, 0)),
held AS (
    SELECT cluster, standing, shingle, shingles
    FROM contender
    SEMI JOIN incomplete USING (cluster)
    JOIN shingle ON shingle.number = contender.head
    JOIN shingle_count ON shingle_count.number = contender.head),
rarest AS (
    SELECT cluster, standing, shingle, holders, shingles, row_number() OVER (PARTITION BY cluster, standing ORDER BY holders, shingle) AS place
    FROM held
    JOIN (SELECT cluster, shingle, count(*) AS holders FROM held GROUP BY ALL) USING (cluster, shingle))
SELECT cluster, shingle, standing
FROM rarest
-- Rounding may only make a prefix longer.
WHERE holders > 1 AND place <= shingles - floor(getvariable('near_threshold') * shingles) + 1;

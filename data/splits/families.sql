-- Every document with its cluster, and every cluster with its name, its number and the place that the number alone gives it.
-- Reads views `given` (documents) and `membership` (id, cluster); variables seed, mode, stratify, test, val.
CREATE TABLE piece AS
SELECT given.id, source, coalesce(synthetic, false) AS synthetic, length(text) AS characters, cluster
FROM given
LEFT JOIN membership USING (id);

CREATE TABLE family AS
WITH named AS (
    SELECT
        cluster,
        coalesce(min(id) FILTER (NOT synthetic), min(id)) AS name,
        coalesce(arg_min(source, id) FILTER (NOT synthetic), arg_min(source, id)) AS source,
        count(*) FILTER (NOT synthetic) AS documents
    FROM piece
    GROUP BY cluster),
numbered AS (
    SELECT
        *,
        CASE getvariable('stratify') WHEN 'source' THEN source ELSE '' END AS stratum,
        sha256(getvariable('seed')::VARCHAR || ':' || name) AS digest,
        ('0x' || left(sha256(getvariable('seed')::VARCHAR || ':' || name), 13))::UBIGINT / (1::UBIGINT << 52) AS number
    FROM named)
SELECT
    *,
    CASE WHEN documents = 0 OR getvariable('mode') <> 'fractions' THEN 'train'
         WHEN number < getvariable('test') THEN 'test'
         WHEN number >= 1 - getvariable('val') THEN 'val'
         ELSE 'train' END AS place,
    false AS stands_in
FROM numbered;

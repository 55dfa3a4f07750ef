-- Every document with its cluster, and every cluster with its name, its number and the split that the number alone assigns.
-- Reads views `documents` (id, source, synthetic, characters) and `membership` (id, cluster), and variables seed, mode, stratify, test and val.
CREATE TABLE document AS
SELECT documents.id, source, coalesce(synthetic, false) AS synthetic, characters, cluster
FROM documents
LEFT JOIN membership USING (id);

-- name: the smallest id that a person wrote. documents: how many a person wrote. stand_in: assigned only to fill an empty split.
CREATE TABLE component AS
WITH named AS (
    SELECT
        cluster,
        coalesce(min(id) FILTER (NOT synthetic), min(id)) AS name,
        coalesce(arg_min(source, id) FILTER (NOT synthetic), arg_min(source, id)) AS source,
        count(*) FILTER (NOT synthetic) AS documents
    FROM document
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
         ELSE 'train' END AS split,
    false AS stand_in
FROM numbered;

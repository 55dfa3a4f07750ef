-- The split of each document, and why. Synthetic documents go to train in the order of a hash, up to `synthetic_ratio` times the characters
-- that people wrote there; those with a held-out copy go nowhere.
CREATE TABLE assignment AS
WITH assigned AS (
    SELECT document.*, component.name, component.number, component.split, component.stand_in, component.documents
    FROM document
    JOIN component USING (cluster)),
running AS (
    SELECT id, sum(characters) OVER (ORDER BY sha256(getvariable('seed')::VARCHAR || ':' || id), id ROWS UNBOUNDED PRECEDING) AS filled
    FROM assigned
    WHERE synthetic AND split = 'train'),
room AS (
    SELECT coalesce(sum(characters), 0) * getvariable('synthetic_ratio') AS characters
    FROM assigned
    WHERE NOT synthetic AND split = 'train')
SELECT
    assigned.id, cluster, assigned.characters, synthetic,
    CASE WHEN NOT synthetic OR (split = 'train' AND filled <= room.characters) THEN split END AS split,
    CASE WHEN NOT synthetic THEN split
         WHEN split <> 'train' THEN 'synthetic copy'
         WHEN filled <= room.characters THEN 'train'
         ELSE 'synthetic cap' END AS rule,
    CASE WHEN synthetic AND split <> 'train' THEN format('{} is in {}', name, split)
         WHEN synthetic THEN 'written by a machine'
         WHEN getvariable('mode') = 'all_train' THEN 'and its copies in val and test'
         WHEN stand_in THEN format('number {:.6f} of cluster {}, which stands in', number, name)
         ELSE format('number {:.6f} of cluster {}', number, name) END AS detail
FROM assigned
LEFT JOIN running ON running.id = assigned.id
CROSS JOIN room;

-- What becomes of each document. What a machine wrote goes to train in the order of a hash, as long as it is at most `synthetic_ratio`
-- times as many characters as what people wrote there, and never where a copy of it is held out.
CREATE TABLE verdict AS
WITH placed AS (
    SELECT piece.*, family.name, family.number, family.place, family.stands_in, family.documents
    FROM piece
    JOIN family USING (cluster)),
running AS (
    SELECT id, sum(characters) OVER (ORDER BY sha256(getvariable('seed')::VARCHAR || ':' || id), id ROWS UNBOUNDED PRECEDING) AS filled
    FROM placed
    WHERE synthetic AND place = 'train'),
room AS (
    SELECT coalesce(sum(characters), 0) * getvariable('synthetic_ratio') AS characters
    FROM placed
    WHERE NOT synthetic AND place = 'train')
SELECT
    placed.id, cluster, placed.characters, synthetic,
    CASE WHEN NOT synthetic OR (place = 'train' AND filled <= room.characters) THEN place END AS place,
    CASE WHEN NOT synthetic THEN place
         WHEN place <> 'train' THEN 'synthetic copy'
         WHEN filled <= room.characters THEN 'train'
         ELSE 'synthetic cap' END AS rule,
    CASE WHEN synthetic AND place <> 'train' THEN format('{} is in {}', name, place)
         WHEN synthetic THEN 'written by a machine'
         WHEN getvariable('mode') = 'all_train' THEN 'and its copies in val and test'
         WHEN stands_in THEN format('number {:.6f} of cluster {}, which stands in', number, name)
         ELSE format('number {:.6f} of cluster {}', number, name) END AS detail
FROM placed
LEFT JOIN running ON running.id = placed.id
CROSS JOIN room;

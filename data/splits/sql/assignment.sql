-- The split of each document, and why; `cut`: its last passages are held out. Synthetic documents go to train in the order of a hash, up to
-- `synthetic_ratio` times the characters that people wrote there; those with a held-out copy go nowhere.
CREATE TABLE assignment AS
WITH joined AS (
    SELECT
        document.*, component.name, component.number, component.split, component.stand_in, component.documents,
        -- A passage of one near-duplicate may be in the part of another that is trained on.
        getvariable('cut_from') > 0 AND NOT synthetic AND component.documents = 1 AND characters >= getvariable('cut_from') AS cut
    FROM document
    JOIN component USING (cluster)),
assigned AS (
    SELECT *, split <> 'train' OR bool_or(cut) OVER (PARTITION BY cluster) AS held_out
    FROM joined),
running AS (
    SELECT id, sum(characters) OVER (ORDER BY sha256(getvariable('seed')::VARCHAR || ':' || id), id ROWS UNBOUNDED PRECEDING) AS filled
    FROM assigned
    WHERE synthetic AND NOT held_out),
room AS (
    SELECT coalesce(sum(characters * CASE WHEN cut THEN getvariable('train') ELSE 1 END), 0) * getvariable('synthetic_ratio') AS characters
    FROM assigned
    WHERE NOT synthetic AND split = 'train')
SELECT
    assigned.id, cluster, assigned.characters, synthetic, cut,
    CASE WHEN NOT synthetic OR (NOT held_out AND filled <= room.characters) THEN split END AS split,
    CASE WHEN cut THEN 'passages'
         WHEN NOT synthetic THEN split
         WHEN held_out THEN 'synthetic copy'
         WHEN filled <= room.characters THEN 'train'
         ELSE 'synthetic cap' END AS rule,
    CASE WHEN synthetic AND held_out THEN format('{} is in {}', assigned.name, CASE split WHEN 'train' THEN 'several splits' ELSE split END)
         WHEN synthetic THEN 'written by a machine'
         WHEN getvariable('mode') = 'all_train' THEN 'and its copies in val and test'
         WHEN cut THEN 'its last passages are held out'
         WHEN getvariable('mode') = 'passages' AND assigned.documents > 1 THEN 'whole: other documents are nearly the same'
         WHEN getvariable('mode') = 'passages' THEN format('whole: it has fewer than {} characters', getvariable('cut_from'))
         ELSE format('number {:.6f} of cluster {}{}{}', number, assigned.name, CASE WHEN stand_in THEN ', which stands in' ELSE '' END,
            coalesce(format('; its {} documents stay together, and {} should have {:.1f} in all', together, split, asked), ''))
         END AS detail
FROM assigned
LEFT JOIN running ON running.id = assigned.id
LEFT JOIN (SELECT cluster AS name, documents AS together, asked FROM large_cluster) AS large ON large.name = assigned.name
CROSS JOIN room;

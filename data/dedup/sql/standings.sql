-- Each open document with the better near duplicates that it was compared with, or with none: those removed earlier are no contenders.
WITH near AS (
    SELECT a AS head, b AS other, jaccard FROM near_pair
    UNION ALL
    SELECT b, a, jaccard FROM near_pair),
better AS (
    SELECT near.head, number, standing, stays, jaccard
    FROM near
    JOIN contender ON contender.head = other)
SELECT d.cluster, d.number, d.ready, better.number AS original, better.stays, jaccard
FROM contender AS d
LEFT JOIN better ON better.head = d.head AND better.standing < d.standing AND (d.ready OR better.standing <= d.seen)
WHERE NOT d.stays
ORDER BY d.cluster, d.standing, better.standing

-- The verdict on each document: its cluster, and for a copy the rule that removes it and the original that is kept.
CREATE TABLE verdict AS
SELECT
    d.number, d.id, coalesce(r.cluster, d.number) AS cluster, r.best,
    CASE WHEN d.number <> r.best THEN 'exact_document' WHEN n.original IS NOT NULL THEN 'near_document' END AS rule,
    coalesce(n.original, r.best) AS original,
    n.jaccard
FROM document AS d
LEFT JOIN ranked AS r USING (number)
LEFT JOIN replaced AS n ON n.number = r.best;

-- reason: the first criterion by which a removed copy differs from the one that is kept.
CREATE TABLE reason AS
SELECT
    v.number,
    coalesce(arg_min(format('{}: {} against {}', k.criterion, k.shown, m.shown), k.turn) FILTER (k.value <> m.value), 'smallest id') AS reason
FROM verdict AS v
JOIN merit AS m ON m.number = v.number
JOIN merit AS k ON k.number = v.original AND k.turn = m.turn
WHERE v.rule IS NOT NULL
GROUP BY v.number;

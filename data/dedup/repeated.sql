-- Of equal pieces (table `piece`: number, position, fingerprint) the first stays, by document and by position in it; `copy` are those that go.
-- A piece belongs to the cluster in which it came first; near-duplicate editions kept on purpose don't lose theirs to each other. Inside one
-- document, a copy that overlaps the document's first by less than `piece_reach` positions is no copy.
CREATE OR REPLACE TABLE copy AS
WITH own AS (
    SELECT fingerprint, number, min(position) AS first, count(*) AS times
    FROM piece
    SEMI JOIN (SELECT fingerprint FROM piece GROUP BY fingerprint HAVING count(*) > 1) USING (fingerprint)
    GROUP BY fingerprint, number),
origin AS (
    SELECT fingerprint, min(o.number) AS number, arg_min(o.first, o.number) AS position, arg_min(v.cluster, o.number) AS home
    FROM own AS o
    JOIN verdict AS v USING (number)
    GROUP BY fingerprint
    HAVING sum(times) > 1 AND count(DISTINCT v.cluster) >= getvariable('piece_documents'))
SELECT p.number, p.position, origin.number AS origin, origin.position AS origin_position
FROM piece AS p
JOIN origin USING (fingerprint)
JOIN own ON own.fingerprint = p.fingerprint AND own.number = p.number
JOIN verdict AS v ON v.number = p.number
WHERE (getvariable('piece_inside') AND p.position >= own.first + getvariable('piece_reach'))
   OR (getvariable('piece_across') AND v.cluster <> origin.home);

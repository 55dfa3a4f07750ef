-- copy: the repeated units (table unit: number, position, fingerprint) to remove. The first stays, by document and by position within it.
-- A unit belongs to the cluster where it occurs first, so near-duplicate editions that were kept on purpose don't lose it to each other.
-- Within a document, a copy that starts less than `unit_reach` positions after the document's first overlaps it and doesn't count.
CREATE OR REPLACE TABLE copy AS
WITH own AS (
    SELECT fingerprint, number, min(position) AS first, count(*) AS times
    FROM unit
    SEMI JOIN (SELECT fingerprint FROM unit GROUP BY fingerprint HAVING count(*) > 1) USING (fingerprint)
    GROUP BY fingerprint, number),
origin AS (
    SELECT fingerprint, min(o.number) AS number, arg_min(o.first, o.number) AS position, arg_min(v.cluster, o.number) AS home
    FROM own AS o
    JOIN verdict AS v USING (number)
    GROUP BY fingerprint
    HAVING sum(times) > 1 AND count(DISTINCT v.cluster) >= getvariable('unit_documents'))
SELECT p.number, p.position, origin.number AS origin, origin.position AS origin_position
FROM unit AS p
JOIN origin USING (fingerprint)
JOIN own ON own.fingerprint = p.fingerprint AND own.number = p.number
JOIN verdict AS v ON v.number = p.number
WHERE (getvariable('unit_inside') AND p.position >= own.first + getvariable('unit_reach'))
   OR (getvariable('unit_across') AND v.cluster <> origin.home);

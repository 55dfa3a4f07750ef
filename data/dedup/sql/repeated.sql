-- copy: the repeated units (table unit: number, position, fingerprint) to remove. The first stays, by document and by position within it.
-- Near duplicates that were kept on purpose don't lose a unit to each other, only to documents that they are no near duplicates of. Where
-- near duplicates are removed none is kept on purpose: two documents of one cluster that stay are similar only through a third.
-- Within a document, a copy that starts less than `unit_reach` positions after the document's first overlaps it and doesn't count.
CREATE OR REPLACE TABLE copy AS
WITH own AS (
    SELECT fingerprint, number, min(position) AS first, count(*) AS times
    FROM unit
    SEMI JOIN (SELECT fingerprint FROM unit GROUP BY fingerprint HAVING count(*) > 1) USING (fingerprint)
    GROUP BY fingerprint, number),
-- home: near duplicates that were kept count as one holder of a unit.
stays AS (SELECT number, CASE WHEN getvariable('near_remove') THEN number ELSE cluster END AS home FROM verdict),
kept_pair AS (SELECT l.number AS a, r.number AS b
    FROM near_pair
    JOIN exact AS l ON l.head = near_pair.a
    JOIN exact AS r ON r.head = near_pair.b
    WHERE NOT getvariable('near_remove')),
origin AS (
    SELECT fingerprint, min(o.number) AS number, arg_min(o.first, o.number) AS position
    FROM own AS o
    JOIN stays USING (number)
    GROUP BY fingerprint
    HAVING sum(times) > 1 AND count(DISTINCT stays.home) >= getvariable('unit_documents'))
SELECT p.number, p.position, origin.number AS origin, origin.position AS origin_position
FROM unit AS p
JOIN origin USING (fingerprint)
JOIN own ON own.fingerprint = p.fingerprint AND own.number = p.number
LEFT JOIN kept_pair ON kept_pair.a = least(p.number, origin.number) AND kept_pair.b = greatest(p.number, origin.number)
WHERE (getvariable('unit_inside') AND p.position >= own.first + getvariable('unit_reach'))
   OR (getvariable('unit_across') AND p.number <> origin.number AND kept_pair.a IS NULL);

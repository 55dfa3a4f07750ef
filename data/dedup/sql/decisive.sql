-- Of the pairs compared to decide who stays, only those that removed a document count as near duplicates: others may name one that went.
DELETE FROM near_pair
WHERE (a, b) IN (
    SELECT (a, b)
    FROM attempt
    ANTI JOIN (
        SELECT least(l.head, r.head) AS a, greatest(l.head, r.head) AS b
        FROM replaced
        JOIN ranked AS l USING (number)
        JOIN ranked AS r ON r.number = original)
    USING (a, b));

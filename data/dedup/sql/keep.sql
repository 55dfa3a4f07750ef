-- Which copy to keep. merit: the value of each cluster member by each criterion of `keep`, in the order asked; larger is better.
CREATE TABLE merit AS
WITH member AS (SELECT d.*, coalesce(k.share, 0) AS known FROM document AS d SEMI JOIN component USING (number) LEFT JOIN known AS k USING (number)),
every AS (
    SELECT number, 'longest' AS criterion, characters::DOUBLE AS value, format('{} characters', characters) AS shown FROM member
    UNION ALL
    SELECT number, 'known_words', round(known, 2), format('{:.2f}', known) FROM member
    UNION ALL
    SELECT number, 'human', CASE WHEN synthetic THEN 0 ELSE 1 END, CASE WHEN synthetic THEN 'a machine''s' ELSE 'a person''s' END FROM member
    UNION ALL
    SELECT number, 'title', CASE WHEN mistitled THEN 0 ELSE 1 END, CASE WHEN mistitled THEN 'a wrong one' ELSE 'its own' END FROM member
    UNION ALL
    SELECT number, 'source', -preference, source FROM member)
SELECT number, list_position(string_split(getvariable('keep'), ' '), criterion) AS turn, criterion, value, shown
FROM every
WHERE turn IS NOT NULL;

CREATE TABLE ranked AS
SELECT
    component.number, component.cluster, exact.head,
    first_value(component.number) OVER (PARTITION BY exact.head ORDER BY worth DESC, component.number) AS best,
    row_number() OVER (PARTITION BY component.cluster ORDER BY worth DESC, component.number) AS standing
FROM component
JOIN (SELECT number, list(value ORDER BY turn) AS worth FROM merit GROUP BY number) USING (number)
JOIN exact USING (number);

-- Among documents of equal words only the best competes. open: documents not yet decided. replaced: those removed, and the kept near copy.
CREATE TABLE open AS SELECT number, head, cluster, standing FROM ranked WHERE number = best AND getvariable('near_remove');
CREATE TABLE replaced (number BIGINT, original BIGINT, jaccard DOUBLE);

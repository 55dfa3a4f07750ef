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

-- contender: the best of each group of equal words, until it is removed. It is compared with better ones of its cluster that share a shingle
-- of its prefix, the best first. seen: the standing of the last of them. ready: none is left. stays: it is decided that it is kept.
CREATE TABLE contender AS
SELECT cluster, standing, number, head, 0::BIGINT AS seen, false AS ready, false AS stays
FROM ranked
WHERE number = best AND getvariable('near_remove');

-- attempt: the pairs compared here. decision: what a round decided; without an original, the document stays. replaced: the documents removed.
CREATE TABLE attempt (a BIGINT, b BIGINT);
CREATE TABLE decision (number BIGINT, original BIGINT, jaccard DOUBLE);
CREATE TABLE replaced (number BIGINT, original BIGINT, jaccard DOUBLE);

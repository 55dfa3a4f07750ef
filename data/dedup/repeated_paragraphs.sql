-- The first of equal paragraphs stays: first by document id, then by position in the document. It belongs to the cluster in
-- which it came first; near-duplicate editions kept on purpose don't lose their paragraphs to each other.
CREATE TABLE repeated_paragraph AS
WITH repeated AS (
    SELECT fingerprint FROM paragraph WHERE fingerprint IS NOT NULL GROUP BY fingerprint HAVING count(*) > 1),
placed AS (
    SELECT
        paragraph.*, cluster,
        first_value(cluster) OVER everywhere AS home,
        first_value(id) OVER everywhere AS original,
        row_number() OVER (PARTITION BY fingerprint, id ORDER BY position) AS nth
    FROM paragraph
    SEMI JOIN repeated USING (fingerprint)
    JOIN verdict USING (id)
    WINDOW everywhere AS (PARTITION BY fingerprint ORDER BY id, position))
SELECT id, position, original
FROM placed
WHERE nth > 1 OR (getvariable('paragraph_corpus') AND cluster <> home);

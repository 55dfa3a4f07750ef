-- The account of every document: one closing row (kept, duplicate or removed) and one row for each rule that changed it.
-- What came in is what was kept and the sum of `net`.
CREATE TABLE ledger AS
SELECT id, 1 AS turn, 'changed' AS action, 'page' AS rule, pages AS count, characters, characters AS net, '' AS detail FROM page_cut
UNION ALL
SELECT id, 2, 'changed', 'paragraph', paragraphs, characters, characters, detail FROM paragraph_cut
UNION ALL
SELECT id, 3, 'removed', 'empty', 1, characters, characters, 'no text is left' FROM emptied
UNION ALL
SELECT
    v.id, 3,
    CASE WHEN v.rule IS NULL THEN 'kept' ELSE 'duplicate' END,
    CASE v.rule WHEN 'exact' THEN 'exact_document' WHEN 'near' THEN 'near_document' ELSE '' END,
    1,
    v.characters,
    CASE WHEN v.rule IS NULL THEN 0 ELSE v.characters END,
    CASE WHEN v.rule IS NULL THEN ''
         WHEN v.rule = 'exact' THEN 'the words of ' || o.id
         ELSE format('near {}; jaccard {:.3f} with {}', o.id, n.jaccard, d.id) END
FROM verdict AS v
JOIN document AS o ON o.number = v.original
LEFT JOIN (
    SELECT number, max(jaccard) AS jaccard, arg_min(other, (-jaccard, other)) AS other
    FROM (
        SELECT a AS number, b AS other, jaccard FROM pair WHERE rule = 'near'
        UNION ALL
        SELECT b, a, jaccard FROM pair WHERE rule = 'near')
    GROUP BY number) AS n ON n.number = v.number
LEFT JOIN document AS d ON d.number = n.other
ANTI JOIN emptied ON emptied.id = v.id;

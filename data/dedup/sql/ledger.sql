-- The ledger of every document: one row for each rule that cut from it, then a closing row (kept, duplicate or removed).
-- Characters in = characters kept + the sum of `net`.
CREATE TABLE ledger AS
SELECT id, turn, 'cut' AS action, c.rule, pieces AS count, net AS characters, net, detail
FROM cut AS c
JOIN document USING (number)
UNION ALL
SELECT id, 1000, 'removed', 'empty', 1, f.characters, f.characters, 'no text is left'
FROM final AS f
JOIN document USING (number)
WHERE empty
UNION ALL
SELECT
    v.id, 1000,
    CASE WHEN v.rule IS NULL THEN 'kept' ELSE 'duplicate' END,
    coalesce(v.rule, ''),
    1,
    f.characters,
    CASE WHEN v.rule IS NULL THEN 0 ELSE f.characters END,
    CASE WHEN v.rule IS NULL THEN '' ELSE format('kept {}: {}; {}', o.id, reason.reason,
        CASE WHEN v.rule = 'exact_document' THEN 'the words of ' || b.id ELSE format('jaccard {:.3f}', v.jaccard) END) END
FROM verdict AS v
JOIN final AS f ON f.number = v.number AND NOT f.empty
LEFT JOIN document AS o ON o.number = v.original
LEFT JOIN document AS b ON b.number = v.best
LEFT JOIN reason ON reason.number = v.number;

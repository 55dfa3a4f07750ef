-- The closing row of every file and record: kept, quarantined, or excluded by the recipe.
SELECT id, 'ingest' AS stage, action, rule, 1::BIGINT AS count, characters, 0::BIGINT AS net, detail
FROM (
    SELECT id, 'kept' AS action, 'read' AS rule, characters, '' AS detail FROM kept
    UNION ALL
    SELECT id, 'quarantined', split_part(reason, ':', 1), 0, path FROM quarantined
    UNION ALL
    SELECT id, 'removed', 'never to be read', 0, 'ingest.without' FROM excluded
)
ORDER BY id, action, detail, rule

-- The closing row of every document of view `assigned`.
SELECT
    id,
    'split' AS stage,
    CASE WHEN split IS NULL THEN 'removed' ELSE 'kept' END AS action,
    rule,
    1::BIGINT AS count,
    characters,
    CASE WHEN split IS NULL THEN characters ELSE 0 END::BIGINT AS net,
    detail
FROM assigned
ORDER BY id

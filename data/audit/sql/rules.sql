-- What each rule of a stage did, according to view `funnel_ledger`.
SELECT
    action, rule,
    count(DISTINCT id) AS documents,
    sum(count)::BIGINT AS pieces,
    coalesce(sum(characters), 0)::BIGINT AS characters,
    coalesce(sum(net), 0)::BIGINT AS net
FROM funnel_ledger
WHERE action <> 'kept'
GROUP BY action, rule
ORDER BY action, rule;

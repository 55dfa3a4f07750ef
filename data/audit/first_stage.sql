-- What came to the first stage is known by its ledger alone: as much as it says that stayed, and what it says that went.
CREATE OR REPLACE TABLE funnel_came AS
SELECT id, (coalesce(sum(characters) FILTER (action = 'kept'), 0) + coalesce(sum(net), 0))::BIGINT AS size
FROM funnel_ledger
GROUP BY id;

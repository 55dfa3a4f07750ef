-- The input of the first stage, known from its ledger alone: what it kept plus what it removed, for each document.
CREATE OR REPLACE TABLE funnel_came AS
SELECT id, (coalesce(sum(characters) FILTER (action = 'kept'), 0) + coalesce(sum(net), 0))::BIGINT AS size
FROM funnel_ledger
GROUP BY id;

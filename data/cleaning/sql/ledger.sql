-- The account: a row for each document and rule, summed over the rounds, and a closing row for each document.
-- rule: its number in the table of rules. Layout is what no other rule accounts for: blank lines and spaces at line ends.
-- Characters in = characters out + the sum of `net`.
CREATE OR REPLACE TEMP TABLE account AS
WITH rules AS (
    SELECT d, rule, sum(pieces) AS pieces, sum(characters) AS characters, sum(net) AS net FROM ledger GROUP BY d, rule
), layout AS (
    SELECT d, size_in - size - coalesce(net, 0) AS net FROM state LEFT JOIN (SELECT d, sum(net) AS net FROM rules GROUP BY d) USING (d)
)
SELECT d, rule, pieces, characters, net FROM rules
UNION ALL SELECT d, getvariable('layout_rule'), 1, abs(net), net FROM layout WHERE net <> 0
UNION ALL SELECT d, CASE WHEN fate = 'removed' THEN getvariable('short_rule') END, 1, size, CASE WHEN fate = 'removed' THEN size ELSE 0 END FROM state;

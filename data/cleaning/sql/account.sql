-- What is kept, and the ledger: per document and rule, summed over the rounds; then the fate of the document itself.
-- `layout` is what is left when every other rule has been accounted for: blank lines and spaces at line ends.
-- What came in is what was kept and the sum of `net`.
CREATE OR REPLACE TABLE kept AS
SELECT g.* EXCLUDE (d, text), t.text FROM given g JOIN documents t USING (d)
WHERE length(t.text) >= greatest(getvariable('minimum_characters'), 1);

CREATE OR REPLACE TABLE account AS
WITH rules AS (
    SELECT d, rule, action, sum(pieces) AS pieces, sum(characters) AS characters, sum(net) AS net FROM ledger GROUP BY ALL
), fate AS (
    SELECT g.d, g.id, length(g.text) AS given, length(t.text) AS made, k.id IS NOT NULL AS kept
    FROM given g JOIN documents t USING (d) LEFT JOIN kept k ON k.id = g.id
), layout AS (
    SELECT f.d, 'layout' AS rule, 'changed' AS action, 1 AS pieces, abs(given - made - coalesce(sum(net), 0)) AS characters, given - made - coalesce(sum(net), 0) AS net
    FROM fate f LEFT JOIN rules USING (d) GROUP BY f.d, given, made HAVING given - made - coalesce(sum(net), 0) <> 0
)
SELECT id, 'clean' AS stage, action, rule, pieces::BIGINT AS count, characters::BIGINT AS characters, net::BIGINT AS net, '' AS detail
FROM (FROM rules UNION ALL FROM layout) JOIN fate USING (d)
UNION ALL
SELECT id, 'clean', CASE WHEN kept THEN 'kept' ELSE 'removed' END, CASE WHEN kept THEN 'document' ELSE 'too short' END, 1, made, CASE WHEN kept THEN 0 ELSE made END, '' FROM fate;

-- The minimizers that occur more than once in the corpus: only near these can a repeated passage lie.
CREATE TABLE shared_minimizer AS
SELECT number, position
FROM minimizer
SEMI JOIN (SELECT fingerprint FROM minimizer GROUP BY fingerprint HAVING count(*) > 1) USING (fingerprint)
ORDER BY number, position;

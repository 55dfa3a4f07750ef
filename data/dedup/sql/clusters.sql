-- pair: every pair that makes two documents one cluster. edge: the same as numbers, the higher first.
CREATE VIEW pair AS
SELECT head AS a, number AS b, 1.0::DOUBLE AS jaccard, 'exact' AS rule FROM exact WHERE number <> head
UNION ALL
SELECT a, b, jaccard, 'near' FROM near_pair;

CREATE TABLE edge AS SELECT DISTINCT greatest(a, b) AS high, least(a, b) AS low FROM pair;

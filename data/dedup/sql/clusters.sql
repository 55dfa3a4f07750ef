-- Connected components of the pairs: the smallest number spreads along the edges until none gets smaller.
CREATE VIEW pair AS
SELECT head AS a, number AS b, 1.0::DOUBLE AS jaccard, 'exact' AS rule FROM exact WHERE number <> head
UNION ALL
SELECT a, b, jaccard, 'near' FROM near_pair;

CREATE TABLE edge AS
SELECT a AS source, b AS target FROM pair
UNION
SELECT b, a FROM pair;

-- Only documents in a pair belong to a component; every other document is a cluster by itself.
CREATE TABLE component AS
WITH RECURSIVE label(number, cluster) USING KEY (number) AS (
    SELECT DISTINCT source, source FROM edge
    UNION
    SELECT edge.target, min(label.cluster)
    FROM label
    JOIN edge ON edge.source = label.number
    JOIN recurring.label AS known ON known.number = edge.target
    WHERE label.cluster < known.cluster
    GROUP BY edge.target)
SELECT number, cluster FROM label;

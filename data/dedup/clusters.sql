-- Connected components of the pairs: the smallest number spreads along the edges until none can fall.
CREATE TABLE pair AS
SELECT least(number, best) AS a, greatest(number, best) AS b, 1.0::DOUBLE AS jaccard, 'exact' AS rule FROM exact WHERE number <> best
UNION ALL
SELECT a, b, jaccard, 'near' FROM near_pair;

CREATE TABLE edge AS
SELECT a AS source, b AS target FROM pair
UNION
SELECT b, a FROM pair;

CREATE TABLE component AS
WITH RECURSIVE label(number, cluster) USING KEY (number) AS (
    SELECT number, number FROM document
    UNION
    SELECT edge.target, min(label.cluster)
    FROM label
    JOIN edge ON edge.source = label.number
    JOIN recurring.label AS known ON known.number = edge.target
    WHERE label.cluster < known.cluster
    GROUP BY edge.target)
SELECT number, cluster FROM label;

-- What becomes of each document: the best of its cluster (longest text, then smallest id) stands for all of it.
CREATE TABLE verdict AS
WITH ranked AS (
    SELECT
        document.*, component.cluster, exact.best,
        first_value(number) OVER (PARTITION BY cluster ORDER BY characters DESC, id) AS cluster_best
    FROM document
    JOIN component USING (number)
    JOIN exact USING (number))
SELECT
    number, id, characters, cluster,
    CASE WHEN number <> best THEN 'exact'
         WHEN number <> cluster_best AND getvariable('near_remove') THEN 'near' END AS rule,
    CASE WHEN number <> best THEN best ELSE cluster_best END AS original
FROM ranked;

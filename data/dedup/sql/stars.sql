-- One round over `edge` (high, low), into `star`. Every round keeps the components, and links documents to ever smaller numbers until each
-- is linked to the smallest of its component alone.
CREATE OR REPLACE TEMP TABLE large_star AS
WITH beside AS (SELECT high AS number, low AS other FROM edge UNION ALL SELECT low, high FROM edge),
smallest AS (SELECT number, least(number, min(other)) AS low FROM beside GROUP BY number)
SELECT DISTINCT other AS high, smallest.low
FROM beside
JOIN smallest USING (number)
WHERE other > number;

CREATE OR REPLACE TABLE star AS
WITH smallest AS (SELECT high AS number, min(low) AS low FROM large_star GROUP BY high)
SELECT DISTINCT large_star.low AS high, smallest.low
FROM large_star
JOIN smallest ON smallest.number = large_star.high
WHERE large_star.low <> smallest.low
UNION
SELECT number, low FROM smallest;

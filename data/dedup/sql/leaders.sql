-- Keep the best open document of each cluster, and list the others that were never compared with it.
CREATE OR REPLACE TABLE leader AS
SELECT cluster, arg_min(number, standing) AS number, arg_min(head, standing) AS head
FROM open
GROUP BY cluster;

DELETE FROM open WHERE number IN (SELECT number FROM leader);

CREATE OR REPLACE TABLE challenge AS
SELECT least(open.head, leader.head) AS a, greatest(open.head, leader.head) AS b, open.number, leader.number AS original
FROM open
JOIN leader USING (cluster);

CREATE OR REPLACE TABLE pending_pair AS SELECT a, b FROM challenge ANTI JOIN candidate USING (a, b);

-- For each open document the best one that it must still be compared with, and the pairs of them that were not compared before.
CREATE OR REPLACE TABLE rival AS
SELECT mine.cluster, mine.standing, min(theirs.standing) AS met
FROM (SELECT cluster, shingle, standing, seen FROM entry JOIN contender USING (cluster, standing) WHERE NOT stays AND NOT ready) AS mine
ASOF JOIN entry AS theirs ON theirs.cluster = mine.cluster AND theirs.shingle = mine.shingle AND theirs.standing > mine.seen
WHERE theirs.standing < mine.standing
GROUP BY ALL;

CREATE OR REPLACE TABLE contender AS
SELECT contender.* REPLACE (coalesce(met, seen) AS seen, met IS NULL AS ready)
FROM contender
LEFT JOIN rival USING (cluster, standing);

CREATE OR REPLACE TABLE pending_pair AS
SELECT least(l.head, r.head) AS a, greatest(l.head, r.head) AS b
FROM rival
JOIN contender AS l USING (cluster, standing)
JOIN contender AS r ON r.cluster = rival.cluster AND r.standing = met
ANTI JOIN candidate ON candidate.a = least(l.head, r.head) AND candidate.b = greatest(l.head, r.head);

INSERT INTO attempt FROM pending_pair;

CREATE TABLE shared_mark AS
SELECT number, position
FROM mark
SEMI JOIN (SELECT fingerprint FROM mark GROUP BY fingerprint HAVING count(*) > 1) USING (fingerprint)
ORDER BY number, position;

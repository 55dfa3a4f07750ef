-- Apply what a round decided. Only clusters with open documents still need their entries and shingles.
INSERT INTO replaced FROM decision WHERE original IS NOT NULL;

CREATE OR REPLACE TABLE contender AS
SELECT contender.* REPLACE (stays OR decision.number IS NOT NULL AS stays)
FROM contender
LEFT JOIN decision USING (number)
WHERE original IS NULL;

DELETE FROM decision;

CREATE OR REPLACE TABLE contender AS
SELECT * FROM contender SEMI JOIN (SELECT cluster FROM contender WHERE NOT stays) USING (cluster);

CREATE OR REPLACE TABLE entry AS SELECT * FROM entry SEMI JOIN contender USING (cluster, standing);

CREATE OR REPLACE TABLE shingle AS SELECT * FROM shingle SEMI JOIN contender ON contender.head = shingle.number;

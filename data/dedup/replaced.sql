-- Open documents that resemble the one that stays go; the others remain open.
INSERT INTO replaced SELECT number, original, jaccard FROM challenge JOIN near_pair USING (a, b);

DELETE FROM open WHERE number IN (SELECT number FROM replaced);

CREATE OR REPLACE TABLE shingle AS SELECT * FROM shingle SEMI JOIN (SELECT head AS number FROM open) USING (number);

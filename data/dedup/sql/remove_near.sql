-- Remove the open documents that are near copies of their cluster's leader; the others stay open for the next round.
INSERT INTO replaced SELECT number, original, jaccard FROM challenge JOIN near_pair USING (a, b);

DELETE FROM open WHERE number IN (SELECT number FROM replaced);

CREATE OR REPLACE TABLE shingle AS SELECT * FROM shingle SEMI JOIN (SELECT head AS number FROM open) USING (number);

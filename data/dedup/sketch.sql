-- One row a document of `batch` (number, id, text): how long it is, and one number for its words.
INSERT INTO document
SELECT number, id, length(text) AS characters, fingerprint(text) AS fingerprint
FROM batch;

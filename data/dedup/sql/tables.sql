-- The tables that deduplication fills batch by batch. Documents are numbered in the order of their ids. One transaction, since
-- each commits to the disk.
BEGIN TRANSACTION;

-- sketch: the documents of one batch, before they are added to document. preferred: the sources of `prefer_sources`, the best first.
CREATE TABLE sketch (number BIGINT, characters BIGINT, fingerprint VARCHAR);
CREATE TABLE preferred (source VARCHAR, preference BIGINT);
CREATE TABLE document (
    number BIGINT, id VARCHAR, characters BIGINT, fingerprint VARCHAR, source VARCHAR, preference BIGINT, synthetic BOOLEAN, mistitled BOOLEAN);

-- signature: the MinHash buckets of each document. shingle, shingle_count: the shingle sets of documents in a candidate pair.
-- candidate: the pairs that were compared. near_pair: those that are near duplicates.
CREATE TABLE signature (number BIGINT, bucket UBIGINT);
CREATE TABLE shingle (number BIGINT, shingle UBIGINT);
CREATE TABLE shingle_count (number BIGINT, shingles BIGINT);
CREATE TABLE candidate (a BIGINT, b BIGINT);
CREATE TABLE near_pair (a BIGINT, b BIGINT, jaccard DOUBLE);

-- word_count: for each batch, how many of its documents contain a word. known: for each document that has copies, the share of all
-- documents that contain one of its words, averaged over its words.
CREATE TABLE word_count (word UBIGINT, documents BIGINT);
CREATE TABLE known (number BIGINT, share DOUBLE);

-- final: what every rule has left of each document.
CREATE TABLE final (number BIGINT, characters BIGINT, empty BOOLEAN);

COMMIT;

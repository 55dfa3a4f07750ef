-- mark: chosen fingerprints and where they stand. piece: runs of words that may come twice. passage: the words of first copies.
CREATE TABLE mark (fingerprint UBIGINT, number BIGINT, position BIGINT);
CREATE OR REPLACE TABLE piece (number BIGINT, position BIGINT, fingerprint UBIGINT);
CREATE TABLE passage (origin BIGINT, origin_first BIGINT, words BIGINT, passage VARCHAR);

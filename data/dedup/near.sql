-- signature: the buckets of a document. shingle, shingle_count: the sets of those in a candidate pair. candidate: pairs that were compared.
CREATE TABLE signature (number BIGINT, bucket UBIGINT);
CREATE TABLE shingle (number BIGINT, shingle UBIGINT);
CREATE TABLE shingle_count (number BIGINT, shingles BIGINT);
CREATE TABLE candidate (a BIGINT, b BIGINT);
CREATE TABLE near_pair (a BIGINT, b BIGINT, jaccard DOUBLE);

-- minimizer: the fingerprints that winnowing selects, with their positions. unit: windows of `min_words` words that may be repeated.
-- first_copy: the text of each first copy, to compare before anything is cut.
CREATE TABLE minimizer (fingerprint UBIGINT, number BIGINT, position BIGINT);
CREATE OR REPLACE TABLE unit (number BIGINT, position BIGINT, fingerprint UBIGINT);
CREATE TABLE first_copy (origin BIGINT, origin_first BIGINT, words BIGINT, passage VARCHAR);

-- sketch: a batch's documents as they are being added to all that came. preferred: sources in the order in which their copies are kept.
CREATE TABLE sketch (number BIGINT, characters BIGINT, fingerprint VARCHAR);
CREATE TABLE preferred (source VARCHAR, preference BIGINT);
CREATE TABLE document (
    number BIGINT, id VARCHAR, characters BIGINT, fingerprint VARCHAR, source VARCHAR, preference BIGINT, synthetic BOOLEAN, mistitled BOOLEAN);

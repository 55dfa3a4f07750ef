-- sketch: a batch's documents as they are being added to all that came. preference: the place of the source among those preferred, from 1.
CREATE TABLE sketch (number BIGINT, characters BIGINT, fingerprint VARCHAR);
CREATE TABLE document (
    number BIGINT, id VARCHAR, characters BIGINT, fingerprint VARCHAR, source VARCHAR, preference BIGINT, synthetic BOOLEAN, mistitled BOOLEAN);

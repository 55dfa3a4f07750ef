-- What is known of the documents of a shard without their texts, and the n-grams of those held out.
CREATE TABLE described (
    stage VARCHAR, part VARCHAR, id VARCHAR, source VARCHAR, title VARCHAR, path VARCHAR, format VARCHAR, language VARCHAR,
    mistitled BOOLEAN, synthetic BOOLEAN, characters BIGINT);

CREATE TABLE held_out (part VARCHAR, id VARCHAR, position BIGINT, gram UBIGINT);

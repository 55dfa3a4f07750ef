-- The words of a `batch` (id, text) of documents, hashed once for all sizes of n-gram.
CREATE OR REPLACE TEMP TABLE hashed AS SELECT id, word_hashes(text) AS hashes FROM batch;

-- A sketch of each document of `batch` (number, text): its length, a fingerprint of its words, and the hash of each word. A document
-- without words has no fingerprint and so equals no other.
WITH split AS MATERIALIZED (SELECT number, length(text) AS characters, words(text) AS words FROM batch)
SELECT
    number, characters,
    CASE WHEN len(words) > 0 THEN md5(array_to_string(words, ' ')) END AS fingerprint,
    list_transform(words, lambda word: hash(word)) AS hashes
FROM split;

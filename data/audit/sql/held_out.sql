-- The n-grams of a `batch` (id, text) of held-out split `part`, with their positions.
INSERT INTO held_out
WITH hashed AS MATERIALIZED (SELECT id, word_hashes(text) AS hashes FROM batch),
windowed AS MATERIALIZED (SELECT id, audit_grams(hashes) AS grams FROM hashed)
SELECT getvariable('part'), id, generate_subscripts(grams, 1), unnest(grams) FROM windowed;

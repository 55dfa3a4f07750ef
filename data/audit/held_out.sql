-- The n-grams of one held-out split's `batch` (id, text), at their places. Variable `part` names the split.
INSERT INTO held_out
WITH hashed AS MATERIALIZED (SELECT id, word_hashes(text) AS hashes FROM batch),
windowed AS MATERIALIZED (SELECT id, audit_grams(hashes) AS grams FROM hashed)
SELECT getvariable('part'), id, generate_subscripts(grams, 1), unnest(grams) FROM windowed;

-- Adds the documents of `batch` with their sketches. Sources that `prefer_sources` doesn't name come last.
INSERT INTO document
SELECT
    number, id, characters, fingerprint, source,
    coalesce(preference, 1000000),
    synthetic,
    coalesce(json_extract(metadata, '$.title_mismatch') = 'true'::JSON, false)
FROM sketch
JOIN batch USING (number)
LEFT JOIN preferred USING (source)
ORDER BY number;
DELETE FROM sketch;

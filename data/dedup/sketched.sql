-- Adds the documents of `batch`, whose sketches are in `sketch`.
INSERT INTO document
SELECT
    number, id, characters, fingerprint, source,
    coalesce(list_position(string_split(getvariable('prefer_sources'), '/'), source), 1000000),
    synthetic,
    coalesce(json_extract(metadata, '$.title_mismatch') = 'true'::JSON, false)
FROM sketch
JOIN batch USING (number)
ORDER BY number;
DELETE FROM sketch;

-- The documents of view `document`, which are those of split `part` or, if it is empty, those that `stage` left.
INSERT INTO described
SELECT
    getvariable('stage'), getvariable('part'), id, source, title,
    json_extract_string(metadata, '$.path'),
    json_extract_string(metadata, '$.format'),
    json_extract_string(metadata, '$.language'),
    coalesce(json_extract_string(metadata, '$.title_mismatch') = 'true', false),
    synthetic, length(text)
FROM document;

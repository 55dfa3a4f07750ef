-- The long paragraphs of `batch` (id, text), for documents that stay.
INSERT INTO paragraph
SELECT id, position, fingerprint(paragraph) AS fingerprint
FROM (
    SELECT id, generate_subscripts(paragraphs, 1) AS position, unnest(paragraphs) AS paragraph
    FROM (
        SELECT id, string_split_regex(text, getvariable('paragraph_break')) AS paragraphs
        FROM batch
        SEMI JOIN (SELECT id FROM verdict WHERE rule IS NULL) USING (id)))
WHERE length(paragraph) >= getvariable('paragraph_min_characters');

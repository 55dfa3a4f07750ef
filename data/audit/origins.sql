-- How many documents and characters of view `origin_documents` have the same source, format, language and kind of author.
SELECT
    source, synthetic,
    json_extract_string(metadata, '$.format') AS format,
    json_extract_string(metadata, '$.language') AS language,
    count(*) AS documents,
    sum(length(text))::BIGINT AS size
FROM origin_documents
GROUP BY ALL

-- Documents and characters of view `composition_documents` by source, format, language and whether a machine wrote them.
SELECT
    source, synthetic,
    json_extract_string(metadata, '$.format') AS format,
    json_extract_string(metadata, '$.language') AS language,
    count(DISTINCT id) AS documents,  -- one that is in several splits has a row in each
    sum(length(text))::BIGINT AS size
FROM composition_documents
GROUP BY ALL

-- Documents and characters that `stage` left, by source, format, language and whether a machine wrote them.
SELECT
    source, synthetic, format, language,
    count(DISTINCT id) AS documents,  -- one that is in several splits has a row in each
    sum(characters)::BIGINT AS size
FROM left_documents
WHERE stage = getvariable('stage')
GROUP BY ALL

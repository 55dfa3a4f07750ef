-- For the documents of `batch` (number, text) that have copies: the share of all documents that contain a word, averaged over their words.
INSERT INTO known
SELECT number, sum(documents) / (count(*) * getvariable('documents'))
FROM (SELECT number, unnest(word_hashes(text)) AS word FROM batch SEMI JOIN component USING (number))
JOIN document_frequency USING (word)
GROUP BY number;

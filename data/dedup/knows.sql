-- The words of the documents of `batch` (number, text) that have copies: in what share of all documents is a word of theirs, on the average?
INSERT INTO known
SELECT number, sum(documents) / (count(*) * getvariable('documents'))
FROM (SELECT number, unnest(word_hashes(text)) AS word FROM batch SEMI JOIN component USING (number))
JOIN word_total USING (word)
GROUP BY number;

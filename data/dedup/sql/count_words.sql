-- In how many documents of `batch` (number, text) does each word occur?
INSERT INTO word_count
SELECT word, count(DISTINCT number) FROM (SELECT number, unnest(word_hashes(text)) AS word FROM batch) GROUP BY word;

-- In how many documents of the whole corpus does each word occur?
CREATE TABLE document_frequency AS
SELECT word, sum(documents) AS documents FROM word_count GROUP BY word;

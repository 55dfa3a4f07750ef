-- In how many documents of the corpus each word stands.
CREATE TABLE word_total AS
SELECT word, sum(documents) AS documents FROM word_count GROUP BY word;

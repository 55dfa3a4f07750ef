-- Every word with its place, from 1, and the hashes of all words of a document in order.
CREATE OR REPLACE TEMP TABLE spoken AS
SELECT n, list_filter(string_split(translate(text, chr(10), ' '), ' '), lambda word: word <> '') AS words FROM plain;

CREATE OR REPLACE TEMP TABLE hashed AS
SELECT n, list_transform(words, lambda word: hash(word)) AS hashes FROM spoken;

CREATE OR REPLACE TEMP TABLE word AS
SELECT n, unnest(generate_series(1, len(words))) AS place, unnest(list_transform(words, lambda word: length(word))) AS size FROM spoken;

CREATE OR REPLACE TEMP TABLE spoken_size AS SELECT n, sum(size) AS characters FROM word GROUP BY n;

CREATE OR REPLACE TEMP TABLE remaining AS SELECT n FROM plain;

-- How often each document uses the listed phrases: candidates are found by the first word of a phrase, then compared word by word.
CREATE OR REPLACE TEMP TABLE listed AS
SELECT words, words[1] AS first, min(number) AS number FROM (SELECT number, words(phrase) AS words FROM phrase) GROUP BY words;

CREATE OR REPLACE TEMP TABLE spoken AS SELECT n, words(coalesce(given, text)) AS words FROM plain;

CREATE OR REPLACE TEMP TABLE word AS
SELECT n, unnest(generate_series(1, len(words))) AS place, unnest(words) AS word FROM spoken;

CREATE OR REPLACE TEMP TABLE candidate AS
SELECT w.n, w.place, l.number, l.words FROM word w JOIN listed l ON w.word = l.first;

CREATE OR REPLACE TEMP TABLE hits AS
WITH further AS (
    SELECT n, place, number, unnest(words) AS wanted, unnest(generate_series(0, len(words) - 1)) AS step, len(words) AS size FROM candidate
), hit AS (
    SELECT f.n, f.place, f.number
    FROM further f JOIN word w ON w.n = f.n AND w.place = f.place + f.step AND w.word = f.wanted
    GROUP BY f.n, f.place, f.number, f.size HAVING count(*) = f.size
), counted AS (
    SELECT n, number, count(*) AS times FROM hit GROUP BY n, number
)
SELECT n, sum(times)::BIGINT AS hits, any_value(len(words)) AS words, arg_min(number, (-times, number)) AS most
FROM counted JOIN spoken USING (n) GROUP BY n;

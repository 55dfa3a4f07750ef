-- The share of characters in the most frequent n-gram of a document; a character that two of them cover counts once.
CREATE OR REPLACE TEMP TABLE gram AS
SELECT n, gram, count(*) AS times, min(place) AS first
FROM (SELECT n, unnest(grams(hashes)) AS gram, unnest(generate_series(1, len(hashes) - getvariable('size') + 1)) AS place
      FROM hashed SEMI JOIN remaining USING (n) WHERE len(hashes) > getvariable('size'))
GROUP BY n, gram HAVING count(*) > 1;

-- Only grams that are frequent enough, were all words as long as the longest, are looked at closely.
CREATE OR REPLACE TEMP TABLE frequent AS
WITH most AS (
    SELECT n, max(times) AS times FROM gram GROUP BY n
), longest AS (
    SELECT n, max(size) AS size FROM word GROUP BY n
)
SELECT g.n, g.gram, g.first
FROM gram g JOIN most m ON g.n = m.n AND g.times = m.times JOIN longest l ON l.n = g.n JOIN spoken_size s ON s.n = g.n
WHERE m.times * getvariable('size') * l.size > getvariable('bound') * s.characters;

CREATE OR REPLACE TEMP TABLE top AS
SELECT n, gram
FROM (
    SELECT f.n, f.gram, f.first, sum(w.size) AS size
    FROM (SELECT n, gram, first, unnest(generate_series(first, first + getvariable('size') - 1)) AS place FROM frequent) f
    JOIN word w USING (n, place) GROUP BY ALL
)
QUALIFY row_number() OVER (PARTITION BY n ORDER BY size DESC, first) = 1;

CREATE OR REPLACE TEMP TABLE measured AS
WITH occurrence AS (
    SELECT n, place
    FROM (SELECT n, unnest(grams(hashes)) AS gram, unnest(generate_series(1, len(hashes) - getvariable('size') + 1)) AS place
          FROM hashed SEMI JOIN top USING (n))
    SEMI JOIN top USING (n, gram)
), covered AS (
    SELECT DISTINCT n, unnest(generate_series(place, place + getvariable('size') - 1)) AS place FROM occurrence
)
SELECT n, sum(size) / any_value(characters) AS share FROM covered JOIN word USING (n, place) JOIN spoken_size USING (n) GROUP BY n;

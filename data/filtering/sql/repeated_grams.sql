-- The share of characters in n-grams that came before in the same document; a character that several cover counts once.
CREATE OR REPLACE TEMP TABLE gram AS
SELECT n, unnest(grams(hashes)) AS gram, unnest(generate_series(1, len(hashes) - getvariable('size') + 1)) AS place
FROM hashed SEMI JOIN remaining USING (n) WHERE len(hashes) > getvariable('size');

CREATE OR REPLACE TEMP TABLE measured AS
WITH first AS (
    SELECT n, gram, min(place) AS first FROM gram GROUP BY n, gram HAVING count(*) > 1
), covered AS (
    SELECT DISTINCT n, unnest(generate_series(place, place + getvariable('size') - 1)) AS place
    FROM gram JOIN first USING (n, gram) WHERE place > first
)
SELECT n, sum(size) / any_value(characters) AS share FROM covered JOIN word USING (n, place) JOIN spoken_size USING (n) GROUP BY n;

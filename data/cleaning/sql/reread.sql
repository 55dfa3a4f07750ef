-- Misread words of the batch, one by one (table edited), and their lines as they should be. What follows a broken word's hyphen is no word.
CREATE OR REPLACE TEMP TABLE torn AS
WITH hit AS (
    SELECT DISTINCT d, n FROM (SELECT d, n, unnest(string_split(line, ' ')) AS chunk FROM lines) SEMI JOIN corrections USING (chunk)
)
SELECT d, n, chunk, place, place = 1 AND joint = 'hyphen' AS half FROM (
    SELECT d, n, unnest(list) AS chunk, unnest(generate_series(1, len(list)))::INTEGER AS place
    FROM (SELECT d, n, string_split(line, ' ') AS list FROM lines SEMI JOIN hit USING (d, n))
) JOIN joints USING (d, n);

CREATE OR REPLACE TEMP TABLE edited AS
SELECT t.d, t.n, t.place, r.place AS inner_place, r.piece AS before, r.repaired AS line, greatest(length(r.piece), length(r.repaired)) AS characters
FROM torn t JOIN reread r USING (chunk) WHERE r.changed AND NOT half;

UPDATE lines SET line = r.line
FROM (SELECT d, n, string_agg(CASE WHEN half THEN chunk ELSE coalesce(corrected, chunk) END, ' ' ORDER BY place) AS line FROM torn LEFT JOIN corrections USING (chunk) GROUP BY d, n) r
WHERE lines.d = r.d AND lines.n = r.n;

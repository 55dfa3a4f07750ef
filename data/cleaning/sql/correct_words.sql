-- Misread words of the batch, one by one (table edited), and their corrected lines (table rewritten). The second half of a word broken at
-- a hyphen isn't a word by itself.
CREATE OR REPLACE TEMP TABLE hit AS
SELECT DISTINCT d, n FROM (SELECT d, n, unnest(string_split(line, ' ')) AS chunk FROM lines WHERE NOT block) SEMI JOIN corrections USING (chunk);

CREATE OR REPLACE TEMP TABLE hit_lines AS SELECT d, n, line, joint = 'hyphen' AS broken FROM hit JOIN lines USING (d, n) JOIN joints USING (d, n);

CREATE OR REPLACE TEMP TABLE torn AS
SELECT d, n, chunk, place, place = 1 AND broken AS half
FROM (SELECT d, n, broken, unnest(parts) AS chunk, unnest(generate_series(1, len(parts)))::INTEGER AS place
    FROM (SELECT d, n, broken, string_split(line, ' ') AS parts FROM hit_lines));

-- A document counts as misread once at least three of its words have digits in place of letters, and counts so in all later rounds.
INSERT INTO machine_read
SELECT d FROM torn JOIN corrections USING (chunk) ANTI JOIN machine_read USING (d) WHERE digit AND NOT half GROUP BY d HAVING count(DISTINCT chunk) >= 3;

CREATE OR REPLACE TEMP TABLE edited AS
SELECT t.d, t.n, t.place, r.place AS inner_place, r.token AS before, r.repaired AS line, greatest(length(r.token), length(r.repaired)) AS characters
FROM torn t JOIN reread r USING (chunk) WHERE NOT half
    AND (sure OR (sure = false AND t.d IN (FROM machine_read) AND (t.d, t.n, t.place) NOT IN (FROM doubted)));

INSERT INTO rewritten
SELECT d, n, string_agg(CASE WHEN half OR corrected IS NULL THEN chunk WHEN known THEN corrected ELSE surely END, ' ' ORDER BY place) AS line
FROM (SELECT t.*, m.d IS NOT NULL AND u.d IS NULL AS known FROM torn t LEFT JOIN machine_read m USING (d) LEFT JOIN doubted u USING (d, n, place)) LEFT JOIN corrections USING (chunk) GROUP BY d, n;

-- Make one line of each block in which every space counts (table blocks, by shapes.py), line ends included, as its shape is decided on the page.
-- It passes no rule: the lines that may need a repair are suspects, and while lines are judged together, it is in table apart.
CREATE OR REPLACE TEMP TABLE inside AS
SELECT l.d, l.n, first, l.line FROM lines l ASOF JOIN blocks b ON b.d = l.d AND b.first <= l.n WHERE l.n <= last;

INSERT INTO lines BY NAME
SELECT d, first AS n, string_agg(line, chr(10) ORDER BY n) AS line, true AS block, false AS odd, 0 AS size, 0 AS first_size
FROM inside GROUP BY d, first;

DELETE FROM lines USING inside WHERE lines.d = inside.d AND lines.n = inside.n AND NOT block;

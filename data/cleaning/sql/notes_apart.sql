-- Take notes (table edited) out of the lines, so that no other rule takes them for text, and set each apart as a paragraph.
CREATE OR REPLACE TEMP TABLE notes AS
SELECT lines.* EXCLUDE (blanks) REPLACE (NOT begins AS noted), count(CASE WHEN begins THEN 1 END) OVER (PARTITION BY d ORDER BY n ROWS UNBOUNDED PRECEDING) AS blanks
FROM lines JOIN edited USING (d, n);

DELETE FROM lines USING notes WHERE lines.d = notes.d AND lines.n = notes.n;

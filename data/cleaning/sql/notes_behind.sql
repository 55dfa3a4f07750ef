-- Put the notes that notes_apart.sql took out behind the text that is left of their documents.
INSERT INTO lines BY NAME
SELECT notes.* REPLACE ((notes.n + last)::INTEGER AS n, (notes.blanks + most)::INTEGER AS blanks)
FROM notes JOIN (
    SELECT d, max(n) AS last, max(blanks) AS most FROM (SELECT d, n, blanks FROM lines UNION ALL SELECT d, n, 0 FROM notes) GROUP BY d
) USING (d);

-- Join lines into documents, with misread words corrected; a broken word that is joined loses its hyphen.
CREATE OR REPLACE TEMP TABLE rebuilt AS
WITH texts AS (
    SELECT j.d, string_agg(CASE joint WHEN 'space' THEN ' ' WHEN 'paragraph' THEN chr(10) || chr(10) WHEN 'line' THEN chr(10) ELSE '' END
        || CASE WHEN b.n IS NULL THEN coalesce(r.line, l.line) ELSE coalesce(r.line, l.line)[:-2] END, '' ORDER BY j.n) AS text
    FROM joints j JOIN lines l USING (d, n) LEFT JOIN rewritten r USING (d, n) LEFT JOIN breaks b ON b.d = j.d AND b.before_n = j.n GROUP BY j.d
)
SELECT d, coalesce(m.text, '') AS text, coalesce(m.text, '') <> i.text AS changed FROM incoming i LEFT JOIN texts m USING (d);

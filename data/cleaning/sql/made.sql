-- Blocks become documents.
CREATE OR REPLACE TEMP TABLE made AS
SELECT d, coalesce(m.text, '') AS text, coalesce(m.text, '') <> i.text AS changed
FROM incoming i LEFT JOIN (SELECT d, string_agg(lead || line, '' ORDER BY n) AS text FROM blocks GROUP BY d) m USING (d);

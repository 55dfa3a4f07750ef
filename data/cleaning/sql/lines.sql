-- Documents that are not settled (table pending) become numbered lines. A form feed stands on a line of its own: it says where a page ended.
-- Line ends of every system become \n, also those that were translated twice (\r\r\n).
CREATE OR REPLACE TABLE lines AS
WITH texts AS (
    SELECT d, regexp_replace(regexp_replace(text, '\r*\n|[\r\x{2028}\x{2029}\x{0b}]', chr(10), 'g'), '\n?\f\n?', chr(10) || chr(12) || chr(10), 'g') AS text
    FROM documents SEMI JOIN pending USING (d)
)
SELECT d, unnest(generate_series(1, len(parts)))::INTEGER AS n, unnest(parts) AS line, false AS page
FROM (SELECT d, string_split(text, chr(10)) AS parts FROM texts);

-- How long each line was on the page, before repairs change its length: the wrap width shows in this.
CREATE OR REPLACE TABLE printed AS SELECT d, n, length(trim(line)) AS size FROM lines;

-- Split documents (table incoming) into numbered lines. A form feed gets a line of its own, since it marks the end of a page.
-- Line ends of every system become \n, also those translated twice (\r\r\n).
-- size, first_size: the length of the line and of its first word on the page, before repairs change it: they show the wrap width.
-- odd: it has more than plain letters, digits and punctuation; only such lines can need a repair.
CREATE OR REPLACE TEMP TABLE lines AS
WITH texts AS (
    SELECT d, CASE WHEN regexp_matches(text, '[\r\f\x{0b}\x{2028}\x{2029}]') THEN
        regexp_replace(regexp_replace(text, '\r*\n|[\r\x{2028}\x{2029}\x{0b}]', chr(10), 'g'), '\n?\f\n?', chr(10) || chr(12) || chr(10), 'g')
        ELSE text END AS text
    FROM incoming
), numbered AS (
    SELECT d, unnest(generate_series(1, len(parts)))::INTEGER AS n, unnest(parts) AS line
    FROM (SELECT d, string_split(text, chr(10)) AS parts FROM texts)
)
SELECT *, (CASE WHEN odd THEN length(trim(line)) ELSE strlen(line) END)::INTEGER AS size,
    CASE WHEN odd THEN length(regexp_extract(line, '[^ ]+')) WHEN contains(line, ' ') THEN strpos(line, ' ') - 1 ELSE strlen(line) END::INTEGER AS first_size
FROM (SELECT *, false AS block, regexp_matches(line, '[^A-Za-z0-9 .,;:!?''"()-]|--|  |''''|^ | $') AS odd FROM numbered);

-- The share of symbols (neither letters, marks, digits nor white space) among characters other than white space.
CREATE OR REPLACE TEMP TABLE measured AS
SELECT n, length(regexp_replace(text, '[\p{L}\p{M}\p{N}\s]+', '', 'g')) / nullif(length(regexp_replace(text, '\s+', '', 'g')), 0) AS symbols
FROM plain;

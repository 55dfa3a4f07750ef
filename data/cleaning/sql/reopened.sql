-- Settled documents (table lines) with a word that has since been found to be misread.
CREATE OR REPLACE TEMP TABLE reopened AS
SELECT DISTINCT d FROM (SELECT d, unnest(string_split(line, ' ')) AS chunk FROM lines WHERE NOT block) JOIN corrections USING (chunk)
WHERE sure OR d IN (FROM machine_read);

-- Settled documents (table incoming) with a word that has since been found to be misread.
CREATE OR REPLACE TEMP TABLE reopened AS
SELECT DISTINCT d FROM (SELECT d, unnest(string_split(replace(text, chr(10), ' '), ' ')) AS chunk FROM incoming) JOIN corrections USING (chunk) WHERE sure OR d IN (FROM machine_read);

-- Settled documents (table incoming) that hold a word which the words learnt since call misread.
CREATE OR REPLACE TEMP TABLE woken AS
SELECT DISTINCT d FROM (SELECT d, unnest(string_split(replace(text, chr(10), ' '), ' ')) AS chunk FROM incoming) JOIN corrections USING (chunk) WHERE sure OR d IN (FROM machine_read);
